import { describe, expect, it } from 'vitest';
import type { StepInfo } from '../training/hooks.js';
import type { PrunePhase } from '../workflows/prune/hooks.js';
import type { PruningRecord, RoundRecord } from '../workflows/prune/record.js';
import { pruningHooks } from './pruning-progress.js';
import { fakeContext } from './testing/fake-context.js';

const phase: PrunePhase = {
  name: 'round-2',
  kind: 'finetune',
  round: 2,
  rounds: 2,
  epochs: 1,
  epochsBefore: 0,
};
const step: StepInfo = {
  epoch: 1,
  epochs: 1,
  step: 1,
  stepsPerEpoch: 2,
  loss: 1,
  lr: 0.1,
  imagesPerSecond: 100,
};
const round = {} as RoundRecord;
const record = {} as PruningRecord;

/** What a phase says that makes so many steps. */
function said(steps: number, of: PrunePhase = phase): string[] {
  const { context, stderr } = fakeContext();
  const hooks = pruningHooks(context);
  const training = hooks.onPhase?.(of);
  for (let i = 1; i <= steps; i++) training?.onStep?.({ ...step, step: i });
  hooks.onRound?.(round, record);
  return stderr().trimEnd().split('\n');
}

describe('pruningHooks', () => {
  it('names a training when its first step is made', () => {
    expect(said(2)).toEqual(['Round 2 of 2', '  training what is left, 1 epoch']);
  });

  it('says of a training that a run did before that nothing is left', () => {
    expect(said(0)).toEqual(['Round 2 of 2', '  trained already, nothing is left to do']);
  });

  it('says nothing of a training without epochs', () => {
    expect(said(0, { ...phase, epochs: 0 })).toEqual(['Round 2 of 2']);
  });
});
