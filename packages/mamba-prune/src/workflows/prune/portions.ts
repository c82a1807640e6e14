// The regularised epochs before each cut of one training through its cuts.
import type { PruningRecord } from './record.js';
import type { ResolvedPruneSettings } from './settings.js';

/** Epochs of the training that are done when the regularising for a cut begins, and when it ends at the latest. */
export interface Portion {
  readonly from: number;
  readonly until: number;
}

type Rsst = NonNullable<ResolvedPruneSettings['rsst']>;

/** Whether one training goes on after this round's cut with units that are still to go. */
export const goesOnToNextCut = (
  { rsst, rounds }: Pick<ResolvedPruneSettings, 'rsst' | 'rounds'>,
  round: number,
): boolean => (rsst?.cuts ?? 1) > 1 && round < rounds;

/**
 * All regularised epochs, or under several `cuts` those of one portion. What is left of a portion that ended early
 * (`cutAtZero`) is the next one's.
 * @param round - counted from 1; the record has all before it
 */
export function portionOf(
  { epochs, cuts = 1 }: Pick<Rsst, 'epochs' | 'cuts'>,
  { rounds }: Pick<PruningRecord, 'rounds'>,
  round: number,
): Portion {
  if (cuts === 1) return { from: 0, until: epochs };
  const from = round === 1 ? 0 : (rounds[round - 2]?.cutAfterEpoch ?? NaN);
  return { from, until: Math.round((round * epochs) / cuts) };
}
