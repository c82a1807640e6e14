// Where the trainings of a pruning run stand in the order of its epochs.
import type { PrunePhase } from './hooks.js';
import type { PruneJob } from './job.js';

/** How a phase's epochs are counted, and `firstEpoch`: the order of the data goes on where trainings before left it. */
export function phaseEpochs(
  { tuning, regularizing, settings }: PruneJob,
  { kind, round }: Pick<PrunePhase, 'kind' | 'round'>,
): Pick<PrunePhase, 'epochs' | 'epochsBefore'> & { readonly firstEpoch: number } {
  const isThrough = settings.rsst?.lrThrough === true;
  const regularized =
    settings.rsst && isThrough ? settings.rsst.epochs : (regularizing?.epochs ?? 0);
  const tuned = (tuning?.epochs ?? 0) - (isThrough ? regularized : 0);
  const before = (round - 1) * (tuned + regularized);
  if (kind === 'regularize') return { epochs: regularized, epochsBefore: 0, firstEpoch: before };
  return isThrough
    ? { epochs: tuned, epochsBefore: regularized, firstEpoch: before }
    : { epochs: tuned, epochsBefore: 0, firstEpoch: before + regularized };
}
