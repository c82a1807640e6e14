import { join } from 'node:path';
import { copyOf } from '@mamba-prune/libtorch';
import { describe, expect, it } from 'vitest';
import { BatchLoader } from '../data/index.js';
import { readCheckpoint } from './checkpoint.js';
import { evaluate, RunFolder, type TrainControl, type TrainHooks } from './index.js';
import { train } from './trainer.js';
import { eachTestsFolder } from './testing/each-folder.js';
import { outcomeOf, toyDataset, toyInfo, ToyModel, toyOptions, toyRun } from './testing/toy.js';

const folder = eachTestsFolder();

const create = (name: string) => RunFolder.create(join(folder.path, name), toyRun);
const options = { ...toyOptions, precision: 'bf16' } as const;

/** @param seed - of the weights, which those of a checkpoint replace */
async function go(run: RunFolder, control: TrainControl = {}, hooks: TrainHooks = {}, seed = 5) {
  const model = new ToyModel(seed);
  return { model, result: await train(model, toyDataset(), options, run, hooks, control) };
}

describe('training in bfloat16', () => {
  it('learns, with images in bfloat16 and logits, weights and all that is saved in float32', async () => {
    const run = create('run');
    const types = new Set<string>();
    const { model, result } = await go(
      run,
      {},
      {
        afterStep: ({ images, logits, model: trained }) => {
          const [weight] = trained.parameters();
          types.add([images, logits, weight, weight?.grad].map((t) => t?.dtype).join(' '));
          expect(weight && copyOf(weight, 'bfloat16')).toBeDefined();
        },
      },
    );
    run.release();
    expect([...types]).toEqual(['bfloat16 float32 float32 float32']);
    expect(result.valAccuracy).toBeGreaterThan(0.9);
    const { tensors, state } = readCheckpoint(run.lastCheckpoint);
    expect(state.precision).toBe('bf16');
    const stored = [...tensors].filter(([name]) => /^(model|optimizer|ema)\./.test(name));
    expect(new Set(stored.map(([, { dtype }]) => dtype))).toEqual(new Set(['F32']));
    const [weight] = model.parameters();
    expect(weight && copyOf(weight, 'bfloat16')).toBeUndefined();
  });

  it('follows the training in float32, for the weights that it computes with are those of the step', async () => {
    const losses = async (precision: 'bf16' | 'fp32') => {
      const run = create(precision);
      const seen: number[] = [];
      const onStep: TrainHooks['onStep'] = ({ loss }) => seen.push(loss);
      await train(new ToyModel(), toyDataset(), { ...options, precision }, run, { onStep });
      run.release();
      return seen;
    };
    const [low, exact] = [await losses('bf16'), await losses('fp32')];
    expect(low).toHaveLength(28);
    expect(low).not.toEqual(exact);
    // 28 steps of rounding to 8 bits; the loss falls from 1.1 to 0.3 meanwhile. Measured: 0.011.
    const far = Math.max(...low.map((loss, i) => Math.abs(loss - (exact[i] as number))));
    expect(far).toBeLessThan(0.05);
  });

  it('ends bit for bit as one that was not stopped when it is resumed', async () => {
    const whole = create('whole');
    await go(whole);
    whole.release();
    const run = create('run');
    const stop = new AbortController();
    let steps = 0;
    const onStep = () => {
      if (++steps === 9) stop.abort();
    };
    const first = await go(run, { signal: stop.signal }, { onStep });
    expect(first.result).toMatchObject({ finished: false, steps: 9 });
    await go(run, { resume: true }, {}, 77);
    run.release();
    expect(outcomeOf(run)).toEqual(outcomeOf(whole));
  });

  it('is not resumed in another precision', async () => {
    const run = create('run');
    await go(run);
    const other = { ...options, precision: 'fp32' } as const;
    await expect(
      train(new ToyModel(), toyDataset(), other, run, {}, { resume: true }),
    ).rejects.toThrow('precision: got "fp32", expected "bf16"');
    run.release();
  });
});

describe('evaluate in bfloat16', () => {
  it('finds the loss of float32 within the rounding of a few layers', async () => {
    const { test, info } = toyDataset();
    const loader = new BatchLoader(test, info, { batchSize: 20 });
    const model = new ToyModel();
    const exact = await evaluate(model, loader, toyInfo);
    const low = await evaluate(model, loader, toyInfo, { precision: 'bf16' });
    // Two layers, each within 2^-9 of its values.
    expect(Math.abs((low?.loss ?? NaN) - (exact?.loss ?? NaN))).toBeLessThan(0.01);
    expect(low?.loss).not.toBe(exact?.loss);
    const names = await evaluate(model, loader, toyInfo, { precision: 'fp16' as 'bf16' }).catch(
      String,
    );
    expect(names).toContain("got 'fp16', expected one of auto, fp32, bf16");
  });
});
