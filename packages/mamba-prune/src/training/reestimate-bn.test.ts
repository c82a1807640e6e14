import { manualSeed, nn, noGrad, randn, type Tensor } from '@mamba-prune/libtorch';
import { describe, expect, it } from 'vitest';
import { UsageError } from '../errors.js';
import type { BatchSource } from './batches.js';
import { reestimateBatchNorm } from './index.js';
import { ToyModel } from './testing/toy.js';

const info = { channels: 3, height: 3, width: 3 } as const;

/** Batch norm on the pixels, a dropout, and a second batch norm behind it. */
class Normed extends nn.Module {
  readonly first: nn.BatchNorm2d;
  readonly second: nn.BatchNorm2d;
  readonly #drop = this.child('drop', new nn.Dropout(0.5));

  constructor(momentum: number | null = 0.1) {
    super();
    this.first = this.child('first', new nn.BatchNorm2d(3, { momentum }));
    this.second = this.child('second', new nn.BatchNorm2d(3));
    noGrad(() => {
      this.first.runningMean.fill_(7);
      this.second.runningVar.fill_(5);
    });
  }

  forward(images: Tensor): Tensor {
    return this.second.forward(this.#drop.forward(this.first.forward(images))).mean([2, 3]);
  }
}

const SIZE = 4;

/** `count` batches of random pixels, each with a mean of its own. */
function source(count: number): BatchSource & { readonly pixels: Float32Array[] } {
  manualSeed(3);
  const pixels = Array.from({ length: count }, (_, i) =>
    Float32Array.from(
      randn([SIZE * 27])
        .mul(1 + i)
        .add(i)
        .toNumbers(),
    ),
  );
  return {
    pixels,
    batchesPerEpoch: count,
    samplesPerEpoch: count * SIZE,
    epoch: async function* () {
      for (const [index, images] of pixels.entries()) {
        await Promise.resolve();
        yield { images, labels: new Int32Array(SIZE), size: SIZE, index };
      }
    },
  };
}

/** Mean and unbiased variance of channel 0 of a batch, as PyTorch's running statistics take them. */
function statistics(pixels: Float32Array): [number, number] {
  const values = [...pixels].filter((_, i) => Math.floor(i / 9) % 3 === 0);
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return [mean, squares / (values.length - 1)];
}

const mean = (values: number[]) => values.reduce((a, b) => a + b, 0) / values.length;

describe('reestimateBatchNorm', () => {
  it('averages the statistics of the batches plainly, whatever the momentum', async () => {
    for (const momentum of [0.1, null]) {
      const model = new Normed(momentum);
      const from = source(5);
      const result = await reestimateBatchNorm(model, from, info, { batches: 3 });
      expect(result).toEqual({ layers: 2, batches: 3 });
      const wanted = from.pixels.slice(0, 3).map((pixels) => statistics(pixels));
      const { runningMean, runningVar, numBatchesTracked } = model.first;
      // float32 sums over 36 values of up to 10.
      expect(runningMean.toNumbers()[0]).toBeCloseTo(mean(wanted.map(([m]) => m)), 4);
      expect(runningVar.toNumbers()[0]).toBeCloseTo(mean(wanted.map(([, v]) => v)), 4);
      expect(numBatchesTracked.item()).toBe(3);
      // The second layer sees each batch as the first normalises it in training: mean 0, variance 1
      // (unbiased: 36/35), not scaled by the dropout, which is off.
      expect(model.second.runningMean.toNumbers()[0]).toBeCloseTo(0, 5);
      expect(model.second.runningVar.toNumbers()[0]).toBeCloseTo(36 / 35, 3);
    }
  });

  it('touches nothing else: weights, modes, momentum, random numbers', async () => {
    const model = new Normed();
    model.train();
    model.second.eval();
    const weights = () => model.parameters().map((tensor) => tensor.toNumbers());
    const before = weights();
    const from = source(2);
    const next = await randomAfter(() => Promise.resolve());
    const after = await randomAfter(() => reestimateBatchNorm(model, from, info, { batches: 2 }));
    expect(after).toEqual(next);
    expect(weights()).toEqual(before);
    expect([model.training, model.first.training, model.second.training]).toEqual([
      true,
      true,
      false,
    ]);
    expect(model.first.momentum).toBe(0.1);
    expect(model.parameters().every(({ grad }) => grad === null)).toBe(true);
  });

  it('takes the batches that there are, if more are asked for', async () => {
    const progress: string[] = [];
    const options = {
      batches: 9,
      onProgress: (done: number, total: number) => progress.push(`${done}/${total}`),
    };
    const result = await reestimateBatchNorm(new Normed(), source(2), info, options);
    expect(result).toEqual({ layers: 2, batches: 2 });
    expect(progress).toEqual(['1/2', '2/2']);
  });

  it('puts the old statistics back when it is stopped, or fails', async () => {
    const model = new Normed();
    const controller = new AbortController();
    const { signal } = controller;
    const onProgress = () => {
      controller.abort();
    };
    const options = { batches: 3, signal, onProgress };
    expect(await reestimateBatchNorm(model, source(3), info, options)).toBeUndefined();
    const failing = reestimateBatchNorm(model, source(3), { ...info, channels: 1 }, { batches: 3 });
    await expect(failing).rejects.toThrow();
    expect(model.first.runningMean.toNumbers()).toEqual([7, 7, 7]);
    expect(model.second.runningVar.toNumbers()).toEqual([5, 5, 5]);
    expect(model.first.numBatchesTracked.item()).toBe(0);
    expect(model.first.momentum).toBe(0.1);
    expect(model.training).toBe(true);
  });

  it('does nothing to a model without batch norm, and says so', async () => {
    const model = new ToyModel();
    const result = await reestimateBatchNorm(model, source(2), info, { batches: 2 });
    expect(result).toEqual({ layers: 0, batches: 0 });
  });

  it('refuses a number below 1, and a source without a batch', async () => {
    const call = (batches: number, count: number) =>
      reestimateBatchNorm(new Normed(), source(count), info, { batches });
    await expect(call(0, 2)).rejects.toThrow(/bn-batches: got 0, expected an integer/);
    await expect(call(1.5, 2)).rejects.toThrow(UsageError);
    await expect(call(1, 0)).rejects.toThrow(/source without a batch/);
  });
});

/** The random number that comes after `body`. */
async function randomAfter(body: () => Promise<unknown>): Promise<number[]> {
  manualSeed(11);
  await body();
  return randn([1]).toNumbers();
}
