import { SafetensorsFile } from '@mamba-prune/libtorch/files';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  type EpochMetrics,
  type LossTerm,
  readCheckpointInfo,
  RunFolder,
  type TrainHooks,
  TrainingDivergedError,
  type TrainOptions,
} from './index.js';
import { train } from './trainer.js';
import { readCheckpoint } from './checkpoint.js';
import { eachTestsFolder } from './testing/each-folder.js';
import { toyDataset, ToyModel, toyOptions, toyRun } from './testing/toy.js';

const folder = eachTestsFolder();

async function trainToy(options: Partial<TrainOptions>, hooks: TrainHooks = {}, name = 'run') {
  const run = RunFolder.create(join(folder.path, name), toyRun);
  const model = new ToyModel();
  try {
    const all = { ...toyOptions, ...options };
    return { run, model, result: await train(model, toyDataset(), all, run, hooks) };
  } finally {
    run.release();
  }
}

function epochsOf(run: RunFolder): EpochMetrics[] {
  return run.readMetrics().filter((line) => line.type === 'epoch');
}

describe('train', () => {
  it.each(['adamw', 'sgd'] as const)('learns a separable task with %s', async (optimizer) => {
    const lr = optimizer === 'sgd' ? 0.05 : 0.01;
    const { run, result } = await trainToy({ optimizer, lr, epochs: 8, augment: 'none' });
    const lines = epochsOf(run);
    expect(lines).toHaveLength(8);
    const [first, last] = [lines[0], lines.at(-1)];
    // Chance is 1/3 and a loss of log 3 = 1.10; a linear model separates the bars.
    expect(last?.loss).toBeLessThan(0.6 * (first?.loss ?? 0));
    expect(last?.trainAccuracy).toBeGreaterThan(0.9);
    expect(last?.valAccuracy).toBeGreaterThan(0.95);
    expect(last?.emaAccuracy).toBeGreaterThan(0.95);
    expect(result).toMatchObject({ finished: true, epochs: 8, weights: 'ema', last });
    expect(result.valAccuracy).toBe(last?.emaAccuracy);
  });

  it('writes one line per epoch, and one per n steps where asked for', async () => {
    const { run, result } = await trainToy({ logEverySteps: 3, epochs: 2 });
    const lines = run.readMetrics();
    // 120 images in batches of 16, the last 8 left out: 7 steps an epoch.
    expect(lines.map((line) => [line.type, line.epoch, line.step])).toEqual([
      ['step', 1, 3],
      ['step', 1, 6],
      ['epoch', 1, 7],
      ['step', 2, 9],
      ['step', 2, 12],
      ['epoch', 2, 14],
    ]);
    expect(result.steps).toBe(14);
    const [epoch] = epochsOf(run);
    expect(epoch).toMatchObject({ phase: 'train', valTop5: null });
    expect(epoch?.gradNorm).toBeGreaterThan(0);
    expect(epoch?.terms).toBeUndefined();
  });

  it('follows the learning rate schedule', async () => {
    const rates: number[] = [];
    await trainToy(
      { epochs: 2, warmupEpochs: 2 / 7, minLrFactor: 0.1, lr: 0.01 },
      { onStep: ({ lr }) => rates.push(lr) },
    );
    // Two steps of warm-up, then half a cosine over twelve.
    expect(rates).toHaveLength(14);
    expect(rates[0]).toBeCloseTo(0.005, 12);
    expect(rates[1]).toBeCloseTo(0.01, 12);
    const at = (k: number) => 0.01 * (0.1 + (0.9 * (1 + Math.cos((Math.PI * k) / 12))) / 2);
    expect(rates[8]).toBeCloseTo(at(6), 12);
    expect(rates[13]).toBeCloseTo(at(11), 12);
  });

  it('leaves the model with the weights of model.safetensors', async () => {
    const { run, model } = await trainToy({ epochs: 2 });
    const file = SafetensorsFile.open(run.modelPath);
    const checkpoint = readCheckpoint(run.lastCheckpoint);
    for (const [name, tensor] of model.stateDict()) {
      const values = Buffer.from(tensor.toTypedArray().buffer);
      expect(values.equals(file.read(name))).toBe(true);
      // With averaging on, the average is the result.
      expect(values.equals(checkpoint.tensors.get(`ema.${name}`)?.data ?? Buffer.alloc(0))).toBe(
        true,
      );
    }
    file.close();
  });

  it('keeps the model of the best epoch', async () => {
    const saved: { path: string; epoch: number; valAccuracy: number | null }[] = [];
    const { run, result } = await trainToy(
      { epochs: 3 },
      { saveModel: (path, _model, info) => saved.push({ path, ...info }) },
    );
    const best = saved.filter(({ path }) => path === run.bestModel).at(-1);
    expect(result.best).toEqual({ epoch: best?.epoch, accuracy: best?.valAccuracy });
    const accuracies = epochsOf(run).map((line) => line.emaAccuracy ?? 0);
    expect(result.best?.accuracy).toBe(Math.max(...accuracies));
    expect(saved.at(-1)).toMatchObject({ path: run.modelPath, epoch: 3, weights: 'ema' });
  });

  it('leaves the model with its own weights, and not their averages, where the best one cannot be saved', async () => {
    const run = RunFolder.create(join(folder.path, 'failing'), toyRun);
    const model = new ToyModel();
    const values = () => model.parameters().map((weight) => weight.detach().toNumbers());
    let [own, averaged]: unknown[] = [];
    const hooks: TrainHooks = {
      epochMetrics: () => {
        own = values();
        return {};
      },
      saveModel: () => {
        averaged = values();
        throw new Error('no room');
      },
    };
    try {
      const training = train(model, toyDataset(), { ...toyOptions, epochs: 2 }, run, hooks);
      await expect(training).rejects.toThrow('no room');
    } finally {
      run.release();
    }
    expect(averaged).not.toEqual(own);
    expect(values()).toEqual(own);
  });

  it('evaluates only every n-th epoch and the last', async () => {
    const { run } = await trainToy({ epochs: 5, evalEvery: 2, emaDecay: null });
    const evaluated = epochsOf(run).map((line) => line.valAccuracy !== null);
    expect(evaluated).toEqual([false, true, false, true, true]);
  });

  it('adds loss terms, and logs their means', async () => {
    const { run } = await trainToy(
      { epochs: 1, clipGradNorm: null, labelSmoothing: 0 },
      {
        extraLosses: [
          { name: 'l1', compute: ({ logits }) => logits.abs().mean().mul(0.01) },
          { name: 'nothing', compute: () => undefined },
        ],
        epochMetrics: (epoch) => ({ twice: 2 * epoch }),
      },
    );
    const [line] = epochsOf(run);
    const { task = NaN, l1 = NaN, nothing } = line?.terms ?? {};
    expect(l1).toBeGreaterThan(0);
    expect(nothing).toBe(0);
    // Sums of seven float32 values each.
    expect(line?.loss).toBeCloseTo(task + l1, 6);
    expect(line?.twice).toBe(2);
  });

  it('distils a teacher: with weight 1 the labels do not matter', async () => {
    const distillation = { teacher: new ToyModel(9).eval(), weight: 1, temperature: 2 };
    const plain = await trainToy({ epochs: 1 }, { distillation });
    const options = { epochs: 1, labelSmoothing: 0.5 };
    const other = await trainToy(options, { distillation }, 'other');
    const values = (model: ToyModel) => model.parameters().map((tensor) => tensor.toNumbers());
    expect(values(other.model)).toEqual(values(plain.model));
    const different = { ...distillation, weight: 0.5 };
    const half = await trainToy(options, { distillation: different }, 'half');
    expect(values(half.model)).not.toEqual(values(plain.model));
  });

  it('stops at a loss that is not a number, with step, rate and checkpoint', async () => {
    const poison: LossTerm = {
      name: 'poison',
      compute: ({ logits, step }) => (step === 9 ? logits.sum().mul(NaN) : undefined),
    };
    const error = await trainToy({}, { extraLosses: [poison] }).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(TrainingDivergedError);
    const { step, epoch, checkpoint, quantity } = error as TrainingDivergedError;
    expect({ step, epoch, quantity }).toEqual({ step: 9, epoch: 2, quantity: 'loss' });
    expect((error as Error).message).toMatch(
      /loss became NaN at step 10 \(epoch 2, learning rate 0\.00/,
    );
    // Written at the end of the first epoch, seven steps.
    expect(readCheckpointInfo(checkpoint ?? '').step).toBe(7);
  });

  it.each([
    ['at the norm of the gradients where they are clipped', 1, 'gradient norm', 9],
    // Without a norm the weights take it, and the next checkpoint would have been after step 10.
    ['before a checkpoint with such weights is written', null, /^tensor model\./, 10],
  ])('stops at gradients that are not numbers: %s', async (_where, clipGradNorm, what, at) => {
    const poison: LossTerm = {
      name: 'poison',
      // 0, with the slope of a root at 0 times 0.
      compute: ({ logits, step }) => (step === 9 ? logits.mul(0).square().sum().sqrt() : undefined),
    };
    const error = await trainToy({ clipGradNorm }, { extraLosses: [poison] }).catch(
      (thrown: unknown) => thrown,
    );
    expect(error).toBeInstanceOf(TrainingDivergedError);
    const { quantity, step, checkpoint } = error as TrainingDivergedError;
    expect(quantity).toMatch(what);
    expect(step).toBe(at);
    const { state, tensors } = readCheckpoint(checkpoint ?? '');
    expect(state.step).toBe(7);
    const stored = tensors.get('model.body.0.weight')?.data;
    expect(new Float32Array(stored?.buffer as ArrayBuffer).every(Number.isFinite)).toBe(true);
  });
});
