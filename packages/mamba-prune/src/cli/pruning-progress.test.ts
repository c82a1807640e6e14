import { describe, expect, it } from 'vitest';
import type { StepInfo } from '../training/hooks.js';
import type { EpochMetrics } from '../training/metrics-lines.js';
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

  /** What is said at a cut after an epoch whose doomed units have this mean norm, and those that stay 2. */
  function saidAtCut(doomed: number): string {
    const { context, stderr } = fakeContext();
    const hooks = pruningHooks(context);
    const spread = (mean: number) => ({ units: 3, mean, quantiles: [], histogram: [] });
    const kinds = { ssm: { max: 3, kept: spread(2), doomed: spread(doomed), doomedShare: 0.1 } };
    const figures = {
      epoch: 1,
      loss: 1,
      trainAccuracy: 0.5,
      valAccuracy: null,
      valLoss: null,
      lr: 0.1,
      imagesPerSecond: 9,
      seconds: 1,
    };
    const norms = { norm: 'group', kinds };
    const epoch = { type: 'epoch', ...figures, unitNorms: norms } as unknown as EpochMetrics;
    const regularised: PrunePhase = { ...phase, kind: 'regularize' };
    void hooks.onPhase?.(regularised).onEpoch?.(epoch);
    const cut = { round: 1, parameters: 10, accuracy: { before: 0.5, afterCut: 0.5 }, rates: {} };
    const widths = { denseWidths: { a: 99 }, widthsBefore: { a: 99 }, widthsAfter: { a: 50 } };
    const whole = { plannedRounds: 1, ...widths, kinds: { a: 'ssm' }, rates: {}, rounds: [] };
    hooks.onCut?.(cut as unknown as RoundRecord, whole as unknown as PruningRecord);
    return stderr().replaceAll(/\s+/g, ' ');
  }

  it('says at a cut that the doomed units had not come to zero', () => {
    expect(saidAtCut(1)).toContain(
      'The units that were cut had not come to zero: on average they still had 50% (ssm) of the norm of those that stay. ' +
        'More regularised epochs bring them there, and --reg-apply shrink does in any number of epochs.',
    );
    expect(saidAtCut(0.001)).toContain('cut to 10 parameters');
    expect(saidAtCut(0.001)).not.toContain('zero');
  });
});
