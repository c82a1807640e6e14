import { memoryStats, noGrad, tensor, type Tensor } from '@mamba-prune/libtorch';
import { appendFileSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { BatchLoader } from '../data/index.js';
import { limitSplit } from './batches.js';
import { Ema, evaluate, readMetricsFile, RunFolder } from './index.js';
import { checkResumeOptions, resolveTrainOptions } from './options.js';
import { distillationLoss } from './losses.js';
import { train } from './trainer.js';
import { MetricsLog, bytesBefore } from './metrics.js';
import { eachTestsFolder } from './testing/each-folder.js';
import { toyDataset, toyInfo, ToyModel, toyOptions, toyRun } from './testing/toy.js';
import { settledMemory } from '../../../../test/support/garbage.js';

const folder = eachTestsFolder();

describe('Ema', () => {
  it('averages parameters with a decay that grows to the one asked for', () => {
    const model = new ToyModel();
    const [weight] = model.parameters() as [Tensor];
    let expected = weight.toNumbers();
    const ema = new Ema(model, 0.3);
    for (let n = 1; n <= 6; n++) {
      noGrad(() => weight.add_(n));
      ema.update();
      const decay = Math.min(0.3, (1 + n) / (10 + n));
      const now = weight.toNumbers();
      expected = expected.map((value, i) => decay * value + (1 - decay) * (now[i] ?? NaN));
    }
    const got = ema.averages.get('body.0.weight')?.toNumbers() ?? [];
    // float32 against float64, values around 20: rounding of 2^-24 relative, six times.
    const errors = got.map((value, i) => Math.abs(value - (expected[i] ?? NaN)));
    expect(Math.max(...errors)).toBeLessThan(1e-4);
    expect(ema.updates).toBe(6);
    ema.dispose();
  });

  it('swaps weights there and back, bit for bit, also after an error', async () => {
    const model = new ToyModel();
    const ema = new Ema(model, 0.9);
    noGrad(() => {
      for (const parameter of model.parameters()) parameter.mul_(1.1);
    });
    const values = () => model.parameters().map((parameter) => parameter.toNumbers());
    const [own, averaged] = [values(), [...ema.averages.values()].map((t) => t.toNumbers())];
    expect(await ema.during(values)).toEqual(averaged);
    expect(values()).toEqual(own);
    const told: unknown[] = [];
    const failing = ema.during(
      () => {
        throw new Error('inside');
      },
      () => told.push(values()),
    );
    await expect(failing).rejects.toThrow('inside');
    // Whoever keeps copies of the weights hears of both.
    expect(told).toEqual([averaged, own]);
    expect(values()).toEqual(own);
    expect([...ema.averages.values()].map((t) => t.toNumbers())).toEqual(averaged);
    ema.dispose();
  });
});

describe('evaluate', () => {
  const { test } = toyDataset();
  const loader = new BatchLoader(test, toyInfo, { batchSize: 16 });

  it('counts over a last batch that is not full, in evaluation mode, and goes back', async () => {
    const model = new ToyModel();
    const [, , , bias] = model.parameters() as [Tensor, Tensor, Tensor, Tensor];
    noGrad(() => {
      for (const parameter of model.parameters()) parameter.zero_();
      bias.setValues(Float32Array.of(0, Math.log(2), 0));
    });
    const modes: boolean[] = [];
    const result = await evaluate(model, loader, toyInfo, {
      onBatch: () => modes.push(model.training),
    });
    // Always says the middle class, with probability 1/2; a third of the labels is that.
    expect(result).toMatchObject({ accuracy: 20 / 60, top5: null, images: 60 });
    const loss = (Math.log(4) + Math.log(2) + Math.log(4)) / 3;
    expect(result?.loss).toBeCloseTo(loss, 6); // float32 logits
    expect(modes).toEqual([false, false, false, false]);
    expect(model.training).toBe(true);
    model.eval();
    await evaluate(model, loader, toyInfo);
    expect(model.training).toBe(false);
  });

  it('counts the five likeliest where there are more than five classes', async () => {
    const classes = ['a', 'b', 'c', 'd', 'e', 'f', 'g'];
    const model = new ToyModel(1, 4, classes.length);
    const [, , , bias] = model.parameters() as [Tensor, Tensor, Tensor, Tensor];
    noGrad(() => {
      for (const parameter of model.parameters()) parameter.zero_();
      bias.setValues(Float32Array.of(0, 1, 9, 8, 7, 6, 5)); // class 0 is the last, 1 the sixth
    });
    const result = await evaluate(model, loader, { ...toyInfo, classes });
    expect(result).toMatchObject({ accuracy: 20 / 60, top5: 20 / 60 });
  });

  it('stops between two batches', async () => {
    const controller = new AbortController();
    const onBatch = () => {
      controller.abort();
    };
    const { signal } = controller;
    expect(await evaluate(new ToyModel(), loader, toyInfo, { signal, onBatch })).toBeUndefined();
  });
});

describe('train', () => {
  it('frees everything it makes', async () => {
    const model = new ToyModel();
    const run = RunFolder.create(join(folder.path, 'run'), toyRun);
    const before = (await settledMemory()).tensors;
    await train(model, toyDataset(), { ...toyOptions, epochs: 1 }, run);
    model.zeroGrad();
    expect(memoryStats().tensors).toBe(before);
    run.release();
  });
});

describe('distillationLoss', () => {
  it('is the divergence between the softened outputs, times temperature squared', () => {
    const student = tensor([[0, Math.log(3) * 2]]); // softened by 2: 1/4, 3/4
    const teacher = tensor([[0, 0]]); // 1/2, 1/2
    const expected = 4 * (0.5 * Math.log(0.5 / 0.25) + 0.5 * Math.log(0.5 / 0.75));
    expect(distillationLoss(student, teacher, 2).item()).toBeCloseTo(expected, 6);
    expect(distillationLoss(teacher, teacher, 2).item()).toBe(0);
  });
});

describe('limitSplit', () => {
  const { train: split } = toyDataset();

  it('takes evenly of every class, other images for another seed', async () => {
    const some = limitSplit(split, 10, 1);
    expect(some.length).toBe(10);
    const counts = [0, 0, 0];
    for (let i = 0; i < 10; i++) counts[some.label(i)] = (counts[some.label(i)] ?? 0) + 1;
    expect(counts).toEqual([4, 3, 3]);
    const all = Array.from({ length: 10 }, (_, i) => i);
    const pixels = await some.read(all);
    expect(await limitSplit(split, 10, 1).read(all)).toEqual(pixels);
    expect(await limitSplit(split, 10, 2).read(all)).not.toEqual(pixels);
  });

  it('is the split itself when it has no more', () => {
    expect(limitSplit(split, 120, 1)).toBe(split);
    expect(limitSplit(split, null, 1)).toBe(split);
  });
});

describe('MetricsLog', () => {
  const line = { type: 'step', phase: 'train', epoch: 1, step: 1, loss: 2, lr: 3 } as const;

  it('cuts off what its checkpoint does not know', () => {
    const path = join(folder.path, 'metrics.jsonl');
    const first = new MetricsLog(path, 0);
    first.append(line);
    const { bytes } = first;
    first.append({ ...line, step: 2 });
    first.close();
    appendFileSync(path, '{"half');
    expect(readMetricsFile(path)).toHaveLength(2);
    new MetricsLog(path, bytes).close();
    expect(readFileSync(path, 'utf8')).toBe(`${JSON.stringify(line)}\n`);
  });

  it('refuses a file that is shorter than its checkpoint says', () => {
    const path = join(folder.path, 'metrics.jsonl');
    expect(() => new MetricsLog(path, 10)).toThrow(/has 0 bytes, expected at least the 10/);
  });

  it('knows where a phase begins in a file that another program has written anew', () => {
    const path = join(folder.path, 'metrics.jsonl');
    const before = `${JSON.stringify(line).replaceAll(/[:,]/g, '$& ')}\n`;
    appendFileSync(path, `${before}${JSON.stringify({ ...line, phase: 'round-1' })}\n`);
    expect(bytesBefore(path, 'round-1')).toBe(before.length);
    expect(bytesBefore(path, 'train')).toBe(0);
    expect(bytesBefore(join(folder.path, 'none'), 'train')).toBe(0);
  });

  it('names a damaged line', () => {
    const path = join(folder.path, 'metrics.jsonl');
    appendFileSync(path, `${JSON.stringify(line)}\n{"type"\n`);
    expect(() => readMetricsFile(path)).toThrow(/line 2 of .* is no JSON/);
  });
});

describe('resolveTrainOptions', () => {
  it('fills in defaults by optimizer', () => {
    const adamw = resolveTrainOptions({ epochs: 3 }, toyInfo);
    expect(adamw).toMatchObject({
      optimizer: 'adamw',
      lr: 1e-3,
      weightDecay: 0.05,
      emaDecay: null,
    });
    const sgd = resolveTrainOptions({ epochs: 3, optimizer: 'sgd' }, toyInfo);
    expect(sgd).toMatchObject({ lr: 0.1, weightDecay: 5e-4, momentum: 0.9 });
    expect(resolveTrainOptions({ epochs: 3, augment: 'standard' }, toyInfo).augment).toEqual({
      padCrop: 1,
      flip: true,
    });
  });

  it.each([
    [{ epochs: 0 }, 'epochs: got 0, expected an integer of at least 1'],
    [{ lr: -1 }, 'lr: got -1, expected a number above 0'],
    [{ lr: NaN }, 'lr: got NaN'],
    [{ batchSize: 1.5 }, 'batchSize: got 1.5'],
    [{ labelSmoothing: 1 }, 'labelSmoothing: got 1, expected a number of at least 0 and below 1'],
    [{ warmupEpochs: 4 }, 'warmupEpochs: got 4, expected a number from 0 to 3'],
    [{ emaDecay: 1 }, 'emaDecay: got 1'],
    [{ clipGradNorm: 0 }, 'clipGradNorm: got 0'],
    [{ optimizer: 'adam' as 'adamw' }, "optimizer: got 'adam', expected one of adamw, muon, sgd"],
    [{ augment: 'srong' }, 'srong'],
    [{ checkpointEvery: { steps: 0 } }, 'checkpointEvery.steps: got 0'],
  ])('refuses %j', (options, message) => {
    expect(() => resolveTrainOptions({ epochs: 3, ...options }, toyInfo)).toThrow(message);
  });
});

describe('checkResumeOptions', () => {
  const before = resolveTrainOptions({ epochs: 3 }, toyInfo);

  it('lets pass what changes nothing', () => {
    expect(checkResumeOptions(before, { ...before }, 'x')).toBeUndefined();
    const often = { ...before, checkpointEvery: { minutes: 1, steps: 7 } };
    expect(checkResumeOptions(before, often, 'x')).toBeUndefined();
  });

  it('names what differs', () => {
    const other = { ...before, seed: 4, augment: { flip: true } };
    expect(() => checkResumeOptions(before, other, 'run/config.json')).toThrow(
      'those in run/config.json: seed: got 4, expected 0; augment: got {"flip":true}, expected {}',
    );
  });
});
