import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import ts from 'typescript';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { augmentPreset } from './augment/options.js';
import type { Batch } from './batch.js';
import { BatchLoader, type BatchLoaderOptions } from './loader.js';
import { MemorySplit } from './memory-split.js';
import type { DatasetInfo, ImageSplit, RandomCrop } from './types.js';

const side = 8;
const imageBytes = 3 * side * side;
const info: DatasetInfo = {
  name: 'made-up',
  classes: ['a', 'b', 'c', 'd'],
  channels: 3,
  height: side,
  width: side,
  mean: [0.5, 0.25, 0],
  std: [0.5, 0.25, 1],
};
/** Image i is all i but for a ramp in blue; label i mod 4. */
function makeSplit(length: number): MemorySplit {
  const images = new Uint8Array(length * imageBytes);
  for (let i = 0; i < length; i++) {
    images.fill(i, i * imageBytes, (i + 1) * imageBytes);
    for (let p = 0; p < 64; p++) images[i * imageBytes + 128 + p] = 4 * p;
  }
  return new MemorySplit(
    images,
    Uint8Array.from({ length }, (_, i) => i % 4),
    imageBytes,
  );
}
/** The same images, but each read takes a while, the later ones less. */
class SlowSplit implements ImageSplit {
  inFlight = 0;
  most = 0;
  crops: RandomCrop[] = [];
  readonly #inner: MemorySplit;

  constructor(inner: MemorySplit) {
    this.#inner = inner;
  }
  get length(): number {
    return this.#inner.length;
  }
  label(i: number): number {
    return this.#inner.label(i);
  }
  async read(indices: ArrayLike<number>): Promise<Uint8Array> {
    this.most = Math.max(this.most, ++this.inFlight);
    await new Promise((resolve) => setTimeout(resolve, 5 * (4 - this.inFlight)));
    this.inFlight--;
    return this.#inner.read(indices);
  }
}

async function collect(loader: BatchLoader, epoch: number, start = 0): Promise<Batch[]> {
  const batches: Batch[] = [];
  for await (const batch of loader.epoch(epoch, start)) batches.push(batch);
  return batches;
}
const make = (options: Partial<BatchLoaderOptions> = {}, split: ImageSplit = makeSplit(50)) =>
  new BatchLoader(split, info, { batchSize: 8, ...options });
const strong = augmentPreset('strong', info);
/** Without its mean, image i is i: tells who is in a batch. */
const who = (batch: Batch) =>
  Array.from({ length: batch.size }, (_, i) =>
    Math.round(((batch.images[i * imageBytes] as number) * 0.5 + 0.5) * 255),
  );

describe('BatchLoader', () => {
  it('gives stored order, labels and normalised pixels without options', async () => {
    const batches = await collect(make(), 0);
    expect(batches.map(({ size }) => size)).toEqual([8, 8, 8, 8, 8, 8, 2]);
    expect(batches.map(({ index }) => index)).toEqual([0, 1, 2, 3, 4, 5, 6]);
    expect(batches.flatMap(who)).toEqual(Array.from({ length: 50 }, (_, i) => i));
    expect([...(batches[6] as Batch).labels]).toEqual([0, 1]);
    expect(batches[0]).not.toHaveProperty('targets');
    const { images } = batches[1] as Batch;
    expect(images).toHaveLength(8 * imageBytes);
    // (9 / 255 - mean) / std of the second image, red, green and the ramp; one float32 rounding of
    // v * scale + bias may differ from that of the quotient by a unit in the last place.
    expect(images[imageBytes]).toBeCloseTo((9 / 255 - 0.5) / 0.5, 6);
    expect(images[imageBytes + 64]).toBeCloseTo((9 / 255 - 0.25) / 0.25, 6);
    expect(images[imageBytes + 128 + 63]).toBeCloseTo(252 / 255, 6);
  });

  it('leaves out a last batch that is not full if asked', async () => {
    const loader = make({ dropLast: true });
    expect([loader.batchesPerEpoch, loader.samplesPerEpoch]).toEqual([6, 48]);
    expect(await collect(loader, 0)).toHaveLength(6);
    expect([make().batchesPerEpoch, make().samplesPerEpoch]).toEqual([7, 50]);
  });

  it('shuffles by seed and epoch, every image once', async () => {
    const order = async (seed: number, epoch: number) =>
      (await collect(make({ shuffle: true, seed }), epoch)).flatMap(who);
    const one = await order(1, 0);
    expect([...one].sort((a, b) => a - b)).toEqual(Array.from({ length: 50 }, (_, i) => i));
    expect(await order(1, 0)).toEqual(one);
    expect(await order(1, 1)).not.toEqual(one);
    expect(await order(2, 0)).not.toEqual(one);
  });

  it('keeps labels with their images', async () => {
    for (const batch of await collect(make({ shuffle: true, seed: 3 }), 5)) {
      expect([...batch.labels]).toEqual(who(batch).map((i) => i % 4));
    }
  });

  it('continues in the middle of an epoch bit for bit', async () => {
    const options = { shuffle: true, seed: 11, augment: strong };
    const whole = await collect(make(options), 3);
    expect(await collect(make(options), 3, 4)).toEqual(whole.slice(4));
    const used = make(options); // and whatever was loaded before
    await collect(used, 0);
    expect(await collect(used, 3, 6)).toEqual(whole.slice(6));
    expect(await collect(used, 3, 7)).toEqual([]);
    expect(await collect(used, 4)).not.toEqual(whole);
  });

  it('makes batches ahead, as many as asked, and keeps their order', async () => {
    const split = new SlowSplit(makeSplit(50));
    const options = { shuffle: true, seed: 11, augment: strong };
    const slow = await collect(make({ ...options, prefetch: 2 }, split), 3);
    expect(split.most).toBe(3); // the one waited for and two ahead
    expect(slow).toEqual(await collect(make(options), 3));
    const single = new SlowSplit(makeSplit(50));
    await collect(make({ ...options, prefetch: 0 }, single), 3);
    expect(single.most).toBe(1);
  });

  it('hands the random crop to splits that can decode one', async () => {
    const split = new SlowSplit(makeSplit(9));
    const seen: RandomCrop[] = [];
    const cropping: ImageSplit = {
      length: 9,
      label: (i) => split.label(i),
      read: (indices) => split.read(indices),
      readCropped: (indices, crop) => {
        seen.push(crop);
        return split.read(indices);
      },
    };
    const batches = await collect(make({ seed: 4, augment: { resizedCrop: {} } }, cropping), 2);
    expect(seen[0]).toEqual({ seed: 4, epoch: 2, scale: [0.08, 1], ratio: [3 / 4, 4 / 3] });
    expect(batches).toEqual(await collect(make({ seed: 4 }, makeSplit(9)), 2)); // and crops no more
  });

  it('passes on what fails, at the batch that fails, and only there', async () => {
    const inner = makeSplit(50);
    const failing: ImageSplit = {
      length: 50,
      label: (i) => inner.label(i),
      read: (indices) =>
        indices[0] === 16
          ? Promise.reject(new Error('bad file'))
          : Promise.resolve(inner.read(indices)),
    };
    const seen: number[] = [];
    const run = async () => {
      for await (const batch of make({}, failing).epoch(0)) seen.push(batch.index);
    };
    await expect(run()).rejects.toThrow('bad file');
    expect(seen).toEqual([0, 1]);
    // Leaving before the failing batch is reached must not crash the process with it.
    for await (const batch of make({}, failing).epoch(0)) if (batch.index === 0) break;
    await new Promise((resolve) => setTimeout(resolve, 10));
  });

  it('fills memory that was given back, with the same bits', async () => {
    const options = { shuffle: true, seed: 11, augment: strong };
    const expected = await collect(make(options), 3);
    const loader = make(options);
    const buffers = new Set<ArrayBufferLike>();
    for await (const batch of loader.epoch(3)) {
      expect(batch).toEqual(expected[batch.index]);
      buffers.add(batch.images.buffer);
      loader.recycle(batch);
    }
    expect(buffers.size).toBe(2); // the last batch is smaller
  });

  it('lets timers run between batches', async () => {
    let fired = false;
    setTimeout(() => (fired = true), 0);
    for await (const batch of make({ batchSize: 1 }).epoch(0)) {
      const until = performance.now() + 1;
      while (performance.now() < until); // a step that never waits
      if (batch.index === 20) break;
    }
    expect(fired).toBe(true);
  });

  it('refuses options out of range', () => {
    expect(() => make({ batchSize: 0 })).toThrow(
      'BatchLoader: batchSize: got 0, expected an integer of at least 1.',
    );
    expect(() => make({ batchsize: 4 } as object)).toThrow(
      'BatchLoader: got the option `batchsize`, expected some of `batchSize`, `shuffle`',
    );
    expect(() => make({ shuffle: 'yes' } as object)).toThrow(
      "shuffle: got the string 'yes', expected true or false",
    );
    expect(() => make({ prefetch: -1 })).toThrow(
      'prefetch: got -1, expected an integer of at least 0',
    );
    expect(() => make({ threads: 1.5 })).toThrow('threads: got 1.5');
    expect(() => make({ seed: 0.1 })).toThrow('seed: got 0.1');
    expect(() => make({ augment: { cutout: -1 } })).toThrow('AugmentOptions: cutout: got -1');
    expect(() => make({}, makeSplit(0))).toThrow('got an empty split');
    expect(() => make({ batchSize: 51, dropLast: true })).toThrow(
      "got batchSize 51 with dropLast, expected at most the split's 50",
    );
    expect(() => make({ threads: 1 })).toThrow(
      /batch-worker\.js does not exist.*Run "npm run build"/,
    );
  });

  it('refuses epochs and start batches that do not exist', async () => {
    await expect(collect(make(), -1)).rejects.toThrow('BatchLoader: epoch: got -1');
    await expect(collect(make(), 0, 8)).rejects.toThrow('got start batch 8, expected 0 to 7.');
  });
});

describe('mixing', () => {
  it('blends pixels and targets with the same weight', async () => {
    const [plain] = await collect(make({ batchSize: 50 }), 0);
    const [mixed] = await collect(make({ batchSize: 50, seed: 2, augment: { mixup: 1 } }), 0);
    const { images, targets, labels } = mixed as Batch;
    const red = (i: number) => ((images[i * imageBytes] as number) * 0.5 + 0.5) * 255;
    // Image i is i and its partner i + s, both wrapped: red = i + (1 - lambda) * s before the wrap.
    const lost = red(0); // (1 - lambda) * s
    const row = (i: number) => [...(targets as Float32Array).subarray(4 * i, 4 * i + 4)];
    const lambda = Math.max(row(0)[0] as number, 0);
    const shift = Math.round(lost / (1 - lambda));
    expect(shift % 4).not.toBe(0); // of this seed: the partner has another class
    for (let i = 0; i < 50; i++) {
      const partner = (i + shift) % 50;
      expect(red(i)).toBeCloseTo(lambda * i + (1 - lambda) * partner, 3); // float32 of values to 50
      const expected = [0, 0, 0, 0];
      expected[i % 4] = lambda;
      if (i % 4 === partner % 4) expected[i % 4] = 1;
      else expected[partner % 4] = 1 - lambda;
      row(i).forEach((v, c) => {
        expect(v).toBeCloseTo(expected[c] as number, 6);
      });
    }
    expect(labels).toEqual((plain as Batch).labels);
  });

  it('cutmix replaces a rectangle and counts its area', async () => {
    const [mixed] = await collect(
      make({ batchSize: 49, seed: 1, augment: { cutmix: 1 } }, makeSplit(49)),
      0,
    );
    const { images, targets } = mixed as Batch;
    const red = (i: number) =>
      Array.from(images.subarray(i * imageBytes, i * imageBytes + 64), (v) =>
        Math.round((v * 0.5 + 0.5) * 255),
      );
    for (const i of [0, 20, 48]) {
      const values = new Set(red(i));
      expect(values.size).toBe(2);
      expect(values.has(i)).toBe(true);
      const kept = red(i).filter((v) => v === i).length / 64;
      const [partner] = [...values].filter((v) => v !== i) as [number];
      const row = [...(targets as Float32Array).subarray(4 * i, 4 * i + 4)];
      expect(row[i % 4]).toBe(partner % 4 === i % 4 ? 1 : kept); // multiples of 1/64 are exact
      expect(row.reduce((a, b) => a + b)).toBe(1);
    }
  });

  it('gives one-hot targets for batches that are not mixed', async () => {
    const [batch] = await collect(make({ augment: { mixup: 1, mixProbability: 0 } }), 0);
    expect([...((batch as Batch).targets as Float32Array)].slice(0, 8)).toEqual([
      1, 0, 0, 0, 0, 1, 0, 0,
    ]);
  });
});

describe('another augmentation at the end', () => {
  const augment = { ...strong, mixup: 1 };
  const lastAugment = { fromEpoch: 2, augment: { flip: true } };
  const options = { shuffle: true, seed: 4, augment, lastAugment };

  it('is that of the epochs from its first on, with one-hot targets where there was mixing', async () => {
    const loader = make(options);
    expect(await collect(loader, 1)).toEqual(
      await collect(make({ ...options, lastAugment: undefined }), 1),
    );
    const plain = await collect(
      make({ ...options, augment: { flip: true }, lastAugment: undefined }),
      2,
    );
    const last = await collect(loader, 2);
    expect(last.map((batch) => ({ ...batch, targets: undefined }))).toEqual(plain);
    for (const { targets, labels } of last) {
      expect([...(targets as Float32Array)]).toEqual(
        [...labels].flatMap((own) => [0, 1, 2, 3].map((c) => Number(c === own))),
      );
    }
    expect(await collect(loader, 2, 5)).toEqual(last.slice(5));
  });

  it('has the crop cut while decoding in its epochs alone', async () => {
    const crops: (RandomCrop | undefined)[] = [];
    const inner = makeSplit(8);
    const split: ImageSplit = {
      length: 8,
      label: (i) => inner.label(i),
      read: (indices) => {
        crops.push(undefined);
        return inner.read(indices);
      },
      readCropped: (indices, crop) => {
        crops.push(crop);
        return Promise.resolve(inner.read(indices));
      },
    };
    const last = { fromEpoch: 1, augment: { resizedCrop: {} } };
    const loader = make({ seed: 4, augment: { flip: true }, lastAugment: last }, split);
    for (const epoch of [0, 1]) await collect(loader, epoch);
    expect(crops).toEqual([
      undefined,
      { seed: 4, epoch: 1, scale: [0.08, 1], ratio: [3 / 4, 4 / 3] },
    ]);
  });
});

describe('BatchLoader with threads', () => {
  let out: string;
  let threadFile: URL;
  beforeAll(() => {
    // Threads need JavaScript: the few files that a thread loads are stripped of their types here.
    out = mkdtempSync(join(tmpdir(), 'mp-threads-'));
    const source = dirname(dirname(fileURLToPath(import.meta.url)));
    const compile = (name: string) => {
      const text = readFileSync(join(source, name), 'utf8');
      const { outputText } = ts.transpileModule(text, {
        compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 },
      });
      writeFileSync(join(out, name.replace(/\.ts$/, '.js')), outputText);
    };
    mkdirSync(join(out, 'data', 'augment'), { recursive: true });
    writeFileSync(join(out, 'package.json'), '{"type":"module"}');
    for (const name of readdirSync(join(source, 'data', 'augment'))) {
      if (!name.endsWith('.test.ts')) compile(join('data', 'augment', name));
    }
    for (const name of ['batch-worker', 'batch', 'errors', 'random', 'crop-box', 'suggest']) {
      compile(join('data', `${name}.ts`));
    }
    for (const name of ['checks', 'errors', 'printable', 'thread-jobs']) compile(`${name}.ts`);
    threadFile = pathToFileURL(join(out, 'data', 'batch-worker.js'));
  });
  afterAll(() => {
    rmSync(out, { recursive: true, force: true });
  });

  it('gives the same bits as without', async () => {
    const options = { shuffle: true, seed: 11, augment: strong };
    const loader = make({ ...options, threads: 2, threadFile });
    expect(await collect(loader, 3)).toEqual(await collect(make(options), 3));
    expect(await collect(loader, 3, 5)).toEqual((await collect(make(options), 3)).slice(5));
    const expected = await collect(make(options), 4);
    for await (const batch of loader.epoch(4)) {
      expect(batch).toEqual(expected[batch.index]);
      loader.recycle(batch);
    }
    await loader.close();
    await expect(collect(loader, 0)).rejects.toThrow('closed');
  });

  it('gives the same bits as without, before and after the augmentation changes', async () => {
    const lastAugment = { fromEpoch: 2, augment: { flip: true } };
    const options = { shuffle: true, seed: 11, augment: strong, lastAugment };
    const loader = make({ ...options, threads: 2, threadFile });
    for (const epoch of [1, 2])
      expect(await collect(loader, epoch)).toEqual(await collect(make(options), epoch));
    await loader.close();
  });

  it('passes on that a thread cannot start', async () => {
    const broken = join(out, 'broken.js');
    writeFileSync(broken, 'throw new Error("no start");');
    const loader = make({ threads: 1, threadFile: pathToFileURL(broken) });
    await expect(collect(loader, 0)).rejects.toThrow('no start');
    await loader.close();
  });

  it('says that a thread has ended, rather than wait for its batches for ever', async () => {
    const ending = join(out, 'ending.mjs');
    writeFileSync(
      ending,
      `import { parentPort } from 'node:worker_threads';
       parentPort.on('message', () => process.exit(3));`,
    );
    const loader = make({ threads: 1, threadFile: pathToFileURL(ending) });
    await expect(collect(loader, 0)).rejects.toThrow('a thread ended with status 3');
    await expect(collect(loader, 0)).rejects.toThrow('a thread ended with status 3');
    await loader.close();
  });
});
