import {
  F,
  manualSeed,
  nn,
  noGrad,
  ops,
  optim,
  randn,
  scope,
  type Tensor,
} from '@mamba-prune/libtorch';
import { describe, expect, it } from 'vitest';
import { benchmarkModels } from '../bench/bench.js';
import { BatchLoader } from '../data/index.js';
import { UsageError } from '../errors.js';
import { createModel } from '../models/registry.js';
import { type BatchSource, toTensors } from './batches.js';
import { evaluate, fitBatchSize, reestimateBatchNorm } from './index.js';
import { resolveTrainOptions } from './options.js';
import { side, ToyModel, toyDataset, toyInfo } from './testing/toy.js';

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

const sideLength = 4;

/** `count` batches of random pixels, each with a mean of its own. */
function source(count: number): BatchSource & { readonly pixels: Float32Array[] } {
  manualSeed(3);
  const pixels = Array.from({ length: count }, (_, i) =>
    Float32Array.from(
      randn([sideLength * 27])
        .mul(1 + i)
        .add(i)
        .toNumbers(),
    ),
  );
  return {
    pixels,
    batchesPerEpoch: count,
    samplesPerEpoch: count * sideLength,
    epoch: async function* () {
      for (const [index, images] of pixels.entries()) {
        await Promise.resolve();
        yield { images, labels: new Int32Array(sideLength), size: sideLength, index };
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
  it.each<[string, number, number, string[]]>([
    [
      'few images in fewer batches',
      2,
      9,
      [
        'batch normalisation: its statistics come from 8 images, in 2 of the 9 batches asked for: there are no more. ' +
          'So few can make the model worse than it was: give at least 32, or leave `bnBatches` out.',
      ],
    ],
    [
      'few images in all batches',
      2,
      2,
      [
        'batch normalisation: its statistics come from 8 images. ' +
          'So few can make the model worse than it was: give at least 32, or leave `bnBatches` out.',
      ],
    ],
    [
      'enough images in fewer batches',
      8,
      9,
      [
        'batch normalisation: its statistics come from 32 images, in 8 of the 9 batches asked for: there are no more.',
      ],
    ],
    ['nothing of enough images', 8, 8, []],
  ])('notes %s', async (_, there, asked, expected) => {
    const notes: string[] = [];
    const onNote = (note: string): void => {
      notes.push(note);
    };
    await reestimateBatchNorm(new Normed(), source(there), info, { batches: asked, onNote });
    expect(notes).toEqual(expected);
  });

  it('averages the statistics of the batches plainly, whatever the momentum', async () => {
    for (const momentum of [0.1, null]) {
      const model = new Normed(momentum);
      const from = source(5);
      const result = await reestimateBatchNorm(model, from, info, { batches: 3 });
      expect(result).toEqual({ layers: 2, batches: 3, images: 3 * sideLength });
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
    expect(result).toEqual({ layers: 2, batches: 2, images: 2 * sideLength });
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
    expect(result).toEqual({ layers: 0, batches: 0, images: 0 });
  });

  it('refuses a number below 1, and a source without a batch', async () => {
    const call = (batches: number, count: number) =>
      reestimateBatchNorm(new Normed(), source(count), info, { batches });
    await expect(call(0, 2)).rejects.toThrow(
      /reestimateBatchNorm: batches: got 0, expected an integer of at least 1/,
    );
    await expect(call(1.5, 2)).rejects.toThrow(UsageError);
    await expect(call(1, 0)).rejects.toThrow(/source without a batch/);
  });
});

/** Its statistics by name. */
const statisticsOf = (model: nn.Module): Map<string, number[]> =>
  new Map(
    Array.from(model.namedBuffers(), ([name, buffer]) => [name, buffer.to('float64').toNumbers()]),
  );

describe('reestimateBatchNorm of a ResNet, which computes whole blocks at once in evaluation', () => {
  const sizes = { imageSize: side, channels: 1, numClasses: 3, blocks: [1, 1], baseWidth: 4 };
  const small = () => createModel('resnet20', sizes);
  const batches = () => new BatchLoader(toyDataset().train, toyInfo, { batchSize: 40 });

  /** The network written out in float64, as its own statistics of a batch normalise it. */
  function byHand(model: nn.Module, images: Tensor): Map<string, number[]> {
    const state = new Map(Array.from(model.stateDict(), ([name, t]) => [name, t.to('float64')]));
    const get = (name: string) => state.get(name) as Tensor;
    const found = new Map<string, number[]>();
    const layer = (x: Tensor, conv: string, bn: string, stride: number): Tensor => {
      const kernel = get(`${conv}.weight`).size(-1);
      const y = ops.conv2d(x, get(`${conv}.weight`), null, stride, kernel >> 1, 1, 1);
      const count = y.numel / y.size(1);
      const mean = y.mean([0, 2, 3], true);
      const squares = y.sub(mean).pow(2).sum([0, 2, 3], true);
      found.set(`${bn}.running_mean`, mean.flatten().toNumbers());
      found.set(
        `${bn}.running_var`,
        squares
          .div(count - 1)
          .flatten()
          .toNumbers(),
      );
      const normed = y.sub(mean).div(squares.div(count).add(1e-5).sqrt());
      const shape = [1, -1, 1, 1];
      return normed.mul(get(`${bn}.weight`).view(...shape)).add(get(`${bn}.bias`).view(...shape));
    };
    let x = layer(images.to('float64'), 'conv1', 'bn1', 1).relu();
    for (const [block, stride] of [
      ['layer1.0', 1],
      ['layer2.0', 2],
    ] as const) {
      const inner = layer(x, `${block}.conv1`, `${block}.bn1`, stride).relu();
      const outer = layer(inner, `${block}.conv2`, `${block}.bn2`, 1);
      const isProjected = state.has(`${block}.downsample.0.weight`);
      const beside = isProjected
        ? layer(x, `${block}.downsample.0`, `${block}.downsample.1`, stride)
        : x;
      x = outer.add(beside).relu();
    }
    return found;
  }

  it('gives the statistics of a computation by hand in float64, from either mode', async () => {
    for (const training of [true, false]) {
      manualSeed(2);
      const model = small();
      noGrad(() => {
        for (const parameter of model.parameters()) parameter.add_(randn(parameter.shape).mul(0.1));
      });
      model.train(training);
      const expected: Map<string, number[]>[] = [];
      for await (const batch of batches().epoch(0)) {
        expected.push(scope(() => byHand(model, toTensors(batch, toyInfo, 'cpu').images)));
      }
      const result = await reestimateBatchNorm(model, batches(), toyInfo, { batches: 3 });
      expect(result).toMatchObject({ layers: 6, batches: 3 });
      for (const [name, values] of statisticsOf(model)) {
        if (name.endsWith('num_batches_tracked')) {
          expect(values, name).toEqual([3]);
          continue;
        }
        values.forEach((value, i) => {
          const wanted = mean(expected.map((found) => found.get(name)?.[i] as number));
          // float32 against float64 over some six layers of sums of a few hundred values of about 1.
          expect(Math.abs(value - wanted), `${name}[${i}]`).toBeLessThan(
            2e-5 * Math.max(1, Math.abs(wanted)),
          );
        });
      }
      expect([...model.namedModules().values()].every((m) => m.training === training)).toBe(true);
    }
  });

  it('brings back the accuracy that the statistics of another model cost', async () => {
    manualSeed(4);
    const model = small();
    const optimizer = new optim.AdamW(model.parameters(), { lr: 0.01 });
    for (let epoch = 0; epoch < 6; epoch++) {
      for await (const batch of batches().epoch(epoch)) {
        scope(() => {
          const { images, labels } = toTensors(batch, toyInfo, 'cpu');
          optimizer.zeroGrad();
          F.crossEntropy(model.forward(images), labels).backward();
          optimizer.step();
        });
      }
    }
    model.eval();
    const test = new BatchLoader(toyDataset().test, toyInfo, { batchSize: 60 });
    const accuracy = async () => (await evaluate(model, test, toyInfo))?.accuracy as number;
    await reestimateBatchNorm(model, batches(), toyInfo, { batches: 3 });
    const trained = await accuracy();
    const right = statisticsOf(model);
    noGrad(() => {
      for (const [name, buffer] of model.namedBuffers()) {
        if (name.endsWith('running_mean')) buffer.add_(randn(buffer.shape).mul(2));
        if (name.endsWith('running_var')) buffer.mul_(25);
      }
    });
    const disturbed = await accuracy();
    await reestimateBatchNorm(model, batches(), toyInfo, { batches: 3 });
    // Fifteen percentage points lie far beyond one image of sixty; the statistics are then the same to the bit.
    expect(trained).toBeGreaterThan(disturbed + 0.15);
    expect(await accuracy()).toBe(trained);
    expect(statisticsOf(model)).toEqual(right);
  });
});

describe('what evaluates a model for a while', () => {
  it('leaves every part in the mode that it was in', async () => {
    const model = createModel('resnet20', { imageSize: side, channels: 1, numClasses: 3 });
    const modes = () => [...model.namedModules().values()].map(({ training }) => training);
    // Frozen batch normalisation in a model that trains.
    for (const part of model.namedModules().values())
      if (part instanceof nn.BatchNorm2d) part.eval();
    const before = modes();
    const test = new BatchLoader(toyDataset().test, toyInfo, { batchSize: 60 });
    await evaluate(model, test, toyInfo);
    expect(modes()).toEqual(before);
    const candidate = { name: 'it', forward: (x: Tensor) => model.forward(x), module: model };
    const shape = {
      inputShape: [1, side, side],
      batches: [1],
      rounds: 1,
      warmup: 0,
      minRoundMs: 0,
    };
    await benchmarkModels([candidate], shape);
    expect(modes()).toEqual(before);
    fitBatchSize(
      model,
      toyDataset(),
      resolveTrainOptions({ epochs: 1, batchSize: 8, lr: 0.1 }, toyInfo),
      {},
    );
    expect(modes()).toEqual(before);
  });
});

/** The random number that comes after `body`. */
async function randomAfter(body: () => Promise<unknown>): Promise<number[]> {
  manualSeed(11);
  await body();
  return randn([1]).toNumbers();
}
