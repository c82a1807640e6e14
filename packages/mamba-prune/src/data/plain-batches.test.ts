// What the threads for images finish has the bits of what the thread of JavaScript makes.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { imageFloats } from '@mamba-prune/libtorch/images';
import { afterAll, describe, expect, it } from 'vitest';
import type { AugmentOptions } from './augment/options.js';
import { type Batch, BatchMaker } from './batch.js';
import { BatchLoader } from './loader.js';
import { EpochAugments } from './augment/epoch-augments.js';
import { PlainBatches } from './plain-batches.js';
import type { ImageSplit } from './types.js';

const info = {
  name: 'made-up',
  classes: ['a', 'b', 'c'],
  channels: 3 as const,
  height: 5,
  width: 7,
  mean: [0.485, 0.456, 0.406],
  std: [0.229, 0.224, 0.225],
};
const bytes = 3 * 5 * 7;
const pixelsOf = (index: number) =>
  Uint8Array.from({ length: bytes }, (_, p) => (p * p + 31 * index * (p + 1)) % 256);
const read = (indices: ArrayLike<number>) =>
  Uint8Array.from(Array.from(indices, (index) => [...pixelsOf(index)]).flat());
const split: ImageSplit = {
  length: 50,
  label: (index) => index % 3,
  read: (indices) => Promise.resolve(read(indices)),
  readCropped: (indices) => Promise.resolve(read(indices)),
};
const inMemory: ImageSplit = { length: 50, label: (index) => index % 3, read };

const dir = mkdtempSync(join(tmpdir(), 'mp-plain-batches-'));
afterAll(() => {
  rmSync(dir, { recursive: true, force: true });
});
const broken = join(dir, 'broken.js');
writeFileSync(broken, 'throw new Error("no start");');
const threadFile = pathToFileURL(broken);

const options = { batchSize: 16, shuffle: true, seed: 4 };

async function batches(loader: BatchLoader): Promise<Batch[]> {
  const found: Batch[] = [];
  for await (const batch of loader.epoch(2)) found.push(batch);
  await loader.close();
  return found;
}

describe('batches that are mirrored and normalised and no more', () => {
  it.each<AugmentOptions>([{}, { flip: true }, { flip: true, resizedCrop: {} }])(
    'have the same bits when the threads for images finish them: %j',
    async (augment) => {
      const own = { info: { ...info, classes: 3 }, augment, seed: 4, cropped: true };
      const found = await batches(new BatchLoader(split, info, { ...options, augment }));
      const maker = new BatchMaker(own);
      // The same samples as the loader of images in memory gives, which this thread makes.
      const order = await batches(new BatchLoader(inMemory, info, options));
      expect(found.map(({ size }) => size)).toEqual([16, 16, 16, 2]);
      const plain = new PlainBatches(own, new EpochAugments(augment, info)).makerOf(2);
      expect(plain).not.toBeNull();
      for (const batch of found) {
        expect(batch.labels).toEqual(order[batch.index]?.labels);
        const indices = Uint32Array.from({ length: batch.size }, (_, i) => 3 * i + batch.index);
        const job = () => ({
          pixels: read(indices),
          indices,
          labels: batch.labels,
          epoch: 2,
          index: batch.index,
        });
        expect(await plain?.(job())).toEqual(maker.make(job()));
      }
    },
  );

  it('are those of images in memory', async () => {
    const augment = { flip: true };
    const files = await batches(new BatchLoader(split, info, { ...options, augment }));
    const memory = await batches(new BatchLoader(inMemory, info, { ...options, augment }));
    expect(files).toEqual(memory);
    expect(files[0]?.images).not.toEqual(
      (await batches(new BatchLoader(split, info, options)))[0]?.images,
    );
  });

  it('wake no thread of Node.js', async () => {
    const augment = { flip: true, resizedCrop: {} };
    const loader = new BatchLoader(split, info, { ...options, augment, threads: 1, threadFile });
    expect(await batches(loader)).toHaveLength(4);
    const strong = { ...augment, erasing: 0.5 };
    const other = new BatchLoader(split, info, {
      ...options,
      augment: strong,
      threads: 1,
      threadFile,
    });
    await expect(batches(other)).rejects.toThrow('no start');
  });

  it.each<AugmentOptions>([
    { padCrop: 1 },
    { cutout: 2 },
    { erasing: 0.1 },
    { randAugment: {} },
    { mixup: 1 },
    { cutmix: 1 },
  ])('are not those of %j', (augment) => {
    const own = { info: { ...info, classes: 3 }, augment, seed: 4, cropped: true };
    expect(new PlainBatches(own, new EpochAugments(augment, info)).makerOf(0)).toBeNull();
  });

  it('are not those of a crop that was not cut while decoding', () => {
    const augment = { resizedCrop: {} };
    const own = { info: { ...info, classes: 3 }, augment, seed: 4, cropped: false };
    expect(new PlainBatches(own, new EpochAugments(augment, info)).makerOf(0)).toBeNull();
  });
});

describe('imageFloats', () => {
  it('looks up every byte, mirrored where asked, in parts where there is much of it', async () => {
    const [channels, height, width, images] = [2, 700, 700, 3] as const; // two parts and more
    const size = channels * height * width;
    const pixels = Uint8Array.from({ length: images * size }, (_, i) => (i * 7 + (i >> 9)) % 256);
    const tables = Float32Array.from({ length: 512 }, (_, i) => i / 3 - 70);
    const flipped = Uint8Array.of(0, 1, 0);
    const out = new Float32Array(pixels.length);
    await imageFloats(pixels, { channels, height, width, tables, flipped }, out);
    const wrong = out.findIndex((value, i) => {
      const [x, image] = [i % width, Math.floor(i / size)];
      const channel = Math.floor(i / (height * width)) % channels;
      const from = flipped[image] === 1 ? i - x + (width - 1 - x) : i;
      return value !== tables[channel * 256 + (pixels[from] as number)];
    });
    expect(wrong).toBe(-1);
  });

  it('refuses arrays of another kind or size', async () => {
    const how = { channels: 3, height: 2, width: 2, tables: new Float32Array(768) };
    const flipped = new Uint8Array(2);
    const [pixels, out] = [new Uint8Array(24), new Float32Array(24)];
    const attempt = (change: object, from = pixels, to = out) =>
      imageFloats(from, { ...how, flipped, ...change }, to);
    await expect(attempt({})).resolves.toBeUndefined();
    await expect(attempt({}, new Uint8Array(23))).rejects.toThrow(
      /got 23 bytes, 24 numbers and tables of 768, expected 24 twice and 768/,
    );
    await expect(attempt({}, pixels, new Float32Array(12))).rejects.toThrow(RangeError);
    await expect(attempt({ tables: new Float32Array(256) })).rejects.toThrow(/tables of 256/);
    await expect(attempt({ tables: new Float64Array(768) })).rejects.toThrow(
      /tables: got .*expected a Float32Array/,
    );
    await expect(attempt({ width: 0 })).rejects.toThrow(
      /width: got number 0, expected an integer from 1/,
    );
  });
});
