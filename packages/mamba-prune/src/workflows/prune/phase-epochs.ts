// Where the trainings of a pruning run stand in the order of its epochs.
import type { PrunePhase } from './hooks.js';
import type { PruneJob } from './job.js';
import { portionOf } from './portions.js';
import type { PruningRecord } from './record.js';

/** How a phase's epochs are counted, and `firstEpoch`: the order of the data goes on where trainings before left it. */
export function phaseEpochs(
  { tuning, regularizing, settings }: PruneJob,
  record: Pick<PruningRecord, 'rounds'>,
  { kind, round }: Pick<PrunePhase, 'kind' | 'round'>,
): Pick<PrunePhase, 'epochs' | 'epochsBefore'> & { readonly firstEpoch: number } {
  const { rsst } = settings;
  const tuned = tuning?.epochs ?? 0;
  if (!rsst?.lrThrough) {
    const regularized = regularizing?.epochs ?? 0;
    const before = (round - 1) * (tuned + regularized);
    return kind === 'regularize'
      ? { epochs: regularized, epochsBefore: 0, firstEpoch: before }
      : { epochs: tuned, epochsBefore: 0, firstEpoch: before + regularized };
  }
  // One training: `tuned` is all of it. Under several cuts all rounds are parts of the same.
  const firstEpoch = rsst.cuts === undefined ? (round - 1) * tuned : 0;
  if (kind === 'regularize') {
    const { from, until } = portionOf(rsst, record, round);
    return { epochs: until - from, epochsBefore: from, firstEpoch };
  }
  const cutAfter = record.rounds[round - 1]?.cutAfterEpoch ?? rsst.epochs;
  return { epochs: tuned - cutAfter, epochsBefore: cutAfter, firstEpoch };
}
