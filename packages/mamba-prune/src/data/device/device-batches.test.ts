import { memoryStats } from '@mamba-prune/libtorch';
import { describe, expect, it } from 'vitest';
import type { AugmentOptions } from '../augment/options.js';
import { BatchLoader } from '../loader.js';
import type { ImageSplit } from '../types.js';
import { DeviceBatches } from './device-batches.js';
import type { DeviceBatchOptions } from './batch-plan.js';
import { deviceBytes, DeviceSplit, whyNotOnDevice } from './device-split.js';
import { StreamedBatches } from './streamed-batches.js';
import { makeImages } from './testing/reference.js';
import type { DeviceBatch, DeviceBatchSource } from './types.js';
import { settledMemory } from '../../../../../test/support/garbage.js';

const data = makeImages(26, { channels: 3, height: 6, width: 5 });
const strong: AugmentOptions = {
  padCrop: 1,
  flip: true,
  randAugment: {},
  cutout: 2,
  mixup: 0.8,
  cutmix: 1,
};

interface Values {
  images: number[];
  labels: number[];
  targets: number[] | undefined;
  index: number;
}

function valuesOf(batch: DeviceBatch): Values {
  const { images, labels, targets, index, size } = batch;
  expect(images.shape).toEqual([size, 3, 6, 5]);
  expect(labels.shape).toEqual([size]);
  return {
    images: images.toNumbers(),
    labels: labels.toNumbers(),
    targets: targets?.toNumbers(),
    index,
  };
}

async function collect(source: DeviceBatchSource, epoch = 0, start = 0): Promise<Values[]> {
  const found: Values[] = [];
  for await (const batch of source.epoch(epoch, start)) found.push(valuesOf(batch));
  return found;
}

function upload(options: { budgetBytes?: number; chunkBytes?: number } = {}) {
  return DeviceSplit.upload(data.split, data.info, { device: 'cpu', ...options });
}

async function withBatches<T>(
  options: DeviceBatchOptions,
  use: (batches: DeviceBatches) => Promise<T> | T,
): Promise<T> {
  const split = await upload();
  const batches = new DeviceBatches(split, options);
  try {
    return await use(batches);
  } finally {
    batches.dispose();
    split.dispose();
  }
}

describe('DeviceSplit', () => {
  it('uploads all images and labels in chunks and tells how far it is', async () => {
    const steps: number[] = [];
    const split = await DeviceSplit.upload(data.split, data.info, {
      device: 'cpu',
      chunkBytes: 10 * 90 + 1,
      onProgress: (done, total) => steps.push(done / total),
    });
    expect(steps).toEqual([10 / 26, 20 / 26, 1]);
    const all = Array.from({ length: 26 }, (_, i) => i);
    expect(split.images.toNumbers()).toEqual(Array.from(data.split.read(all)));
    expect(split.labels.toNumbers()).toEqual(all.map((i) => data.split.label(i)));
    expect(split.bytes).toBe(26 * (90 + 16));
    split.dispose();
  });

  it('is refused when it would not fit into the budget, with both sizes', async () => {
    expect(deviceBytes(50_000, { channels: 3, height: 32, width: 32 })).toBe(154_400_000);
    await expect(upload({ budgetBytes: 2000 })).rejects.toThrow(
      /26 images of 3x6x5 take 0.0 MiB, more than the 0.0 MiB/,
    );
    expect(whyNotOnDevice(data.split, data.info)).toBeUndefined();
  });

  it('is refused for a label that no class has, and for no images at all', async () => {
    const { split, info } = data;
    const wrong: ImageSplit = { length: 2, label: () => 5, read: (i) => split.read(i) };
    await expect(DeviceSplit.upload(wrong, info, { device: 'cpu' })).rejects.toThrow(
      /label 5 of image 0, expected 0 to 4/,
    );
    const none: ImageSplit = { length: 0, label: () => 0, read: () => new Uint8Array() };
    await expect(DeviceSplit.upload(none, info, { device: 'cpu' })).rejects.toThrow(/empty split/);
  });

  it('stops between chunks when told to, and frees what was sent', async () => {
    const before = (await settledMemory()).tensors;
    const stop = new AbortController();
    const sent = DeviceSplit.upload(data.split, data.info, {
      device: 'cpu',
      chunkBytes: 1,
      signal: stop.signal,
      onProgress: () => {
        stop.abort();
      },
    });
    await expect(sent).rejects.toThrow(/abort/);
    expect(memoryStats().tensors).toBe(before);
  });

  it('says why crops that are cut while decoding stay on the host', async () => {
    const { split, info } = data;
    const cutting: ImageSplit = {
      length: 4,
      label: (i) => split.label(i),
      read: (i) => split.read(i),
      readCropped: (i) => Promise.resolve(split.read(i)),
    };
    const augment = { resizedCrop: {} };
    expect(whyNotOnDevice(cutting, info, { augment })).toMatch(/cut out of the full picture/);
    expect(whyNotOnDevice(split, info, { augment })).toBeUndefined();
    const uploaded = await DeviceSplit.upload(cutting, info, { device: 'cpu' });
    expect(() => new DeviceBatches(uploaded, { batchSize: 2, augment })).toThrow(/Stream/);
    uploaded.dispose();
  });
});

describe('DeviceBatches', () => {
  it('gives the batches of the loader: same order, same pixels, last one smaller', async () => {
    for (const options of [
      { batchSize: 8 },
      { batchSize: 8, shuffle: true, seed: 11 },
      { batchSize: 8, shuffle: true, seed: 11, dropLast: true },
      { batchSize: 100 },
    ]) {
      const loader = new BatchLoader(data.split, data.info, options);
      await withBatches(options, async (batches) => {
        expect(batches.batchesPerEpoch).toBe(loader.batchesPerEpoch);
        expect(batches.samplesPerEpoch).toBe(loader.samplesPerEpoch);
        for (const epoch of [0, 1]) {
          const got = await collect(batches, epoch);
          for await (const want of loader.epoch(epoch)) {
            const batch = got[want.index] as Values;
            expect(batch.labels).toEqual(Array.from(want.labels));
            // Normalised in float32 here and in double there: values about 2, a few roundings.
            batch.images.forEach((v, i) => {
              expect(Math.abs(v - (want.images[i] as number))).toBeLessThan(1e-6);
            });
            expect(batch.targets).toBeUndefined();
          }
          expect(got.length).toBe(loader.batchesPerEpoch);
        }
      });
    }
  });

  it('goes on in an epoch where it is told to, bit for bit', async () => {
    const options = { batchSize: 8, shuffle: true, seed: 4, augment: strong };
    await withBatches(options, async (batches) => {
      const whole = await collect(batches, 3);
      expect(await collect(batches, 3, 2)).toEqual(whole.slice(2));
      expect(await collect(batches, 3, 4)).toEqual([]);
      expect(await collect(batches, 4)).not.toEqual(whole);
      expect(await collect(batches, 3)).toEqual(whole);
    });
  });

  it('shared by workers, makes every global batch once, as one worker would', async () => {
    for (const dropLast of [true, false]) {
      const options = { batchSize: 8, shuffle: true, seed: 4, augment: strong, dropLast };
      const alone = await withBatches(options, (batches) => collect(batches, 1));
      const shares = [0, 1, 2, 3].map((rank) =>
        withBatches({ ...options, rank, workers: 4 }, (batches) => collect(batches, 1)),
      );
      const workers = await Promise.all(shares);
      for (const { index, images, labels, targets } of alone) {
        const parts = workers.flatMap((w) => w.filter((batch) => batch.index === index));
        expect(parts.flatMap((p) => p.labels)).toEqual(labels);
        expect(parts.flatMap((p) => p.images)).toEqual(images);
        expect(parts.flatMap((p) => p.targets)).toEqual(targets);
      }
    }
  });

  it('makes the same by next() as by epoch(), into the same tensors', async () => {
    const options = { batchSize: 8, shuffle: true, seed: 4, augment: strong, dropLast: true };
    await withBatches(options, async (batches) => {
      const whole = await collect(batches, 2);
      batches.seek(2);
      const { images, labels } = batches.tensors;
      for (const { images: wanted, labels: classes } of whole) {
        batches.next();
        expect(images.toNumbers()).toEqual(wanted);
        expect(labels.toNumbers()).toEqual(classes);
      }
      batches.next(); // beyond the end: from the first again
      expect(labels.toNumbers()).toEqual(whole[0]?.labels);
    });
  });

  it('has another augmentation from an epoch on, with one-hot targets where there was mixing', async () => {
    const lastAugment = { fromEpoch: 2, augment: { padCrop: 1, flip: true } };
    const options = { batchSize: 8, shuffle: true, seed: 4, augment: strong, dropLast: true };
    const [mixed, plain] = [
      await withBatches(options, (batches) => collect(batches, 1)),
      await withBatches({ ...options, augment: lastAugment.augment }, (b) => collect(b, 2)),
    ];
    await withBatches({ ...options, lastAugment }, async (batches) => {
      expect(await collect(batches, 1)).toEqual(mixed);
      const before = batches.augment;
      const last = await collect(batches, 2);
      expect(batches.augment).not.toBe(before);
      expect(last.map((batch) => ({ ...batch, targets: undefined }))).toEqual(plain);
      for (const { targets, labels } of last) {
        expect(targets).toEqual(labels.flatMap((own) => [0, 1, 2, 3, 4].map((c) => +(c === own))));
      }
      expect(await collect(batches, 2, 1)).toEqual(last.slice(1));
      batches.seek(2);
      batches.next();
      expect(batches.tensors.images.toNumbers()).toEqual(last[0]?.images);
      batches.seek(0);
      expect(batches.augment).toBe(before);
    });
  });

  it('refuses next() when the last batch is smaller, and says what to do', async () => {
    await withBatches({ batchSize: 8 }, (batches) => {
      expect(() => batches.next()).toThrow(/26 samples in batches of 8 .* Set dropLast/);
    });
  });

  it('keeps native memory flat', async () => {
    const before = (await settledMemory()).tensors;
    await withBatches({ batchSize: 8, augment: strong }, async (batches) => {
      await collect(batches);
      const during = memoryStats();
      await collect(batches);
      for await (const { index } of batches.epoch(1)) if (index === 1) break;
      expect(memoryStats()).toEqual(during);
    });
    expect(memoryStats().tensors).toBe(before);
  });

  it('makes 16-bit images when asked', async () => {
    await withBatches({ batchSize: 13, dtype: 'bfloat16' }, async (batches) => {
      for await (const { images } of batches.epoch(0)) expect(images.dtype).toBe('bfloat16');
    });
  });

  it('refuses options that make no sense', async () => {
    const bad: [DeviceBatchOptions, RegExp][] = [
      [{ batchSize: 0 }, /batchSize: got 0, expected an integer from 1 to 16777216/],
      [{ batchSize: 8, workers: 3 }, /batchSize 8 for 3 workers.* Choose 9/],
      [{ batchSize: 8, rank: 2, workers: 2 }, /rank: got 2, expected an integer from 0 to 1/],
      [{ batchSize: 27, dropLast: true }, /batchSize 27 with dropLast, expected at most/],
      [
        { batchSize: 8, worldSize: 2 } as object as DeviceBatchOptions,
        /got the option `worldSize`/,
      ],
      [{} as DeviceBatchOptions, /DeviceBatches: got options without `batchSize`/],
      [{ batchSize: 8, seed: -1 }, /seed: got -1/],
      [
        { batchSize: 8, dtype: 'float64' as 'float32' },
        /dtype: got 'float64', expected one of float32, bfloat16, float16/,
      ],
      [{ batchSize: 8, augment: { padCrop: 7 } }, /padCrop: got 7/],
    ];
    const split = await upload();
    for (const [options, message] of bad) {
      expect(() => new DeviceBatches(split, options)).toThrow(message);
    }
    const batches = new DeviceBatches(split, { batchSize: 8 });
    expect(() => {
      batches.seek(0, 5);
    }).toThrow(/start batch 5, expected 0 to 4/);
    expect(() => {
      batches.seek(-1);
    }).toThrow(/epoch: got -1/);
    batches.dispose();
    split.dispose();
  });
});

describe('StreamedBatches', () => {
  const stream = async (split: ImageSplit, options: DeviceBatchOptions, epoch = 0, start = 0) => {
    const source = new StreamedBatches(split, data.info, { ...options, device: 'cpu' });
    try {
      return await collect(source, epoch, start);
    } finally {
      source.dispose();
    }
  };

  it('gives the batches of DeviceBatches', async () => {
    const options = { batchSize: 8, shuffle: true, seed: 4, augment: strong };
    const wanted = await withBatches(options, (batches) => collect(batches, 2));
    expect(await stream(data.split, options, 2)).toEqual(wanted);
    expect(await stream(data.split, options, 2, 3)).toEqual(wanted.slice(3));
    const lastAugment = { fromEpoch: 2, augment: { padCrop: 1, flip: true } };
    for (const epoch of [1, 2]) {
      const both = { ...options, lastAugment };
      const last = await withBatches(both, (batches) => collect(batches, epoch));
      expect(await stream(data.split, both, epoch)).toEqual(last);
    }
  });

  it('gives each worker its rows, also of a last batch that has too few', async () => {
    const options = { batchSize: 24, shuffle: true, augment: { flip: true } };
    const alone = await stream(data.split, options);
    const parts = await Promise.all(
      [0, 1, 2].map((rank) => stream(data.split, { ...options, rank, workers: 3 })),
    );
    for (const { index, images } of alone) {
      const of = parts.flatMap((worker) => worker.filter((batch) => batch.index === index));
      expect(of.flatMap((p) => p.images)).toEqual(images);
    }
  });

  it('reads one batch ahead, and has the crop cut while decoding', async () => {
    const asked: number[][] = [];
    const split: ImageSplit = {
      length: 26,
      label: (i) => data.split.label(i),
      read: () => {
        throw new Error('expected readCropped');
      },
      readCropped: (indices, crop) => {
        expect(crop).toEqual({ seed: 5, epoch: 3, scale: [0.5, 1], ratio: [3 / 4, 4 / 3] });
        asked.push(Array.from(indices));
        return Promise.resolve(data.split.read(indices));
      },
    };
    const augment = { resizedCrop: { scale: [0.5, 1] as const } };
    const source = new StreamedBatches(split, data.info, {
      batchSize: 8,
      device: 'cpu',
      seed: 5,
      augment,
    });
    for await (const { index, labels } of source.epoch(3)) {
      expect(asked.length).toBe(Math.min(4, index + 2));
      expect(labels.toNumbers()).toEqual(asked[index]?.map((i) => data.split.label(i)));
    }
    source.dispose();
  });

  it('passes on that an image cannot be read', async () => {
    const split: ImageSplit = {
      length: 26,
      label: () => 0,
      read: (indices) =>
        indices[0] === 8 ? Promise.reject(new Error('broken')) : data.split.read(indices),
    };
    await expect(stream(split, { batchSize: 8 })).rejects.toThrow('broken');
  });
});
