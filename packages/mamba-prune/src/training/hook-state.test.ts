// What hooks carry from step to step, in checkpoints.
import { fromTypedArray, noGrad, type Tensor, zeros } from '@mamba-prune/libtorch';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { composeHooks, type HookState, RunFolder, type TrainHooks } from './index.js';
import { train } from './trainer.js';
import { temporaryFolder, toyDataset, ToyModel, toyOptions, toyRun } from './testing/toy.js';

let folder: ReturnType<typeof temporaryFolder>;
beforeEach(() => (folder = temporaryFolder()));
afterEach(() => {
  folder.remove();
});

interface Counter {
  readonly hooks: TrainHooks;
  /** Steps since the first `begin`, of all processes. */
  readonly steps: Tensor;
  /** What `steps` was at each `begin`. */
  readonly begun: number[];
}

/** Counts steps in a tensor, from 100 on. */
function counter(name = 'steps'): Counter {
  const steps = zeros([2]);
  const begun: number[] = [];
  const state: HookState = {
    tensors: new Map([[name, steps]]),
    begin: () => {
      begun.push(steps.toNumbers()[1] ?? NaN);
      if (steps.toNumbers()[1] === 0) noGrad(() => steps.fill_(100));
    },
  };
  const afterStep = (): void => {
    steps.add_(1);
  };
  return { hooks: { state, afterStep }, steps, begun };
}

/** 2 epochs of 7 steps. */
async function go(hooks: TrainHooks, how: { resume?: boolean; stopAfter?: number } = {}) {
  const path = join(folder.path, 'run');
  const run = how.resume ? RunFolder.open(path, { write: true }) : RunFolder.create(path, toyRun);
  const controller = new AbortController();
  const onStep: TrainHooks['onStep'] = ({ epoch, step, stepsPerEpoch }) => {
    if ((epoch - 1) * stepsPerEpoch + step === how.stopAfter) controller.abort();
  };
  const control = { resume: how.resume, signal: controller.signal };
  const all = composeHooks({ onStep }, hooks);
  try {
    await train(new ToyModel(), toyDataset(), { ...toyOptions, epochs: 2 }, run, all, control);
  } finally {
    run.release();
  }
}

describe('the state of hooks', () => {
  it('goes on where it was, told once in each process that the training begins', async () => {
    const [first, second] = [counter(), counter()];
    await go(first.hooks, { stopAfter: 5 });
    expect(first.steps.toNumbers()).toEqual([105, 105]);
    await go(second.hooks, { resume: true });
    expect([first.begun, second.begun]).toEqual([[0], [105]]);
    expect(second.steps.toNumbers()).toEqual([114, 114]);
  });

  it('begins where the checkpoint is of a training that had none', async () => {
    await go({}, { stopAfter: 5 });
    const late = counter();
    await go(late.hooks, { resume: true });
    expect(late.begun).toEqual([0]);
    expect(late.steps.toNumbers()).toEqual([109, 109]);
  });

  it('is refused where it is not that of the checkpoint', async () => {
    await go(counter().hooks, { stopAfter: 5 });
    await expect(go(counter('others').hooks, { resume: true })).rejects.toThrow(
      /hooks\.others: got nothing, expected F32 \[2\]/,
    );
    await expect(go({}, { resume: true })).rejects.toThrow(
      /does not fit the hooks: hooks\.steps: got a tensor, .* Give the hooks/,
    );
  });

  it('stops the training before a value that is not finite is written', async () => {
    const { hooks, steps } = counter();
    const afterStep = (): void => {
      steps.copy_(fromTypedArray(Float32Array.of(1, Infinity), [2]));
    };
    await expect(go({ ...hooks, afterStep })).rejects.toThrow(/hooks\.steps/);
  });

  it('is that of all hooks that have one', async () => {
    const [a, b] = [counter('a'), counter('b')];
    await go(composeHooks(a.hooks, {}, b.hooks), { stopAfter: 3 });
    const [c, d] = [counter('a'), counter('b')];
    await go(composeHooks(c.hooks, d.hooks), { resume: true, stopAfter: 4 });
    expect([c.begun, d.begun]).toEqual([[103], [103]]);
    expect(composeHooks({}, undefined).state).toBeUndefined();
  });
});
