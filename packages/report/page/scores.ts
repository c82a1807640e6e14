// The scores that a cut went by, as the page draws them.
import type { GroupScoresData, ScoresData } from '../src/page-data/pruning.js';

/** What became of a unit: kept, removed, given back. */
export type UnitFate = 'k' | 'x' | 'r';

export interface ScoredUnit {
  readonly value: number;
  readonly fate: UnitFate;
}

/** The scores of one group, from base64. */
export function decodeScores({ min, max, scores }: GroupScoresData): number[] {
  const bytes = atob(scores);
  return Array.from({ length: bytes.length >> 1 }, (_, i) => {
    const level = bytes.charCodeAt(2 * i) + 256 * bytes.charCodeAt(2 * i + 1);
    return min + (level / 65_535) * (max - min);
  });
}

/** Whether scores are divided by the mean of their group before they are ranked. */
export const isNormalized = ({ ranking, normalize }: ScoresData): boolean =>
  ranking === 'global' && normalize === 'mean';

/** Units as they were ranked. @param groups - those to take together */
export function scoredUnits(scores: ScoresData, groups: readonly GroupScoresData[]): ScoredUnit[] {
  return groups.flatMap((group) => {
    const values = decodeScores(group);
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    const scale = isNormalized(scores) && mean > 0 ? 1 / mean : 1;
    return values.map((value, i) => ({ value: value * scale, fate: group.fates[i] as UnitFate }));
  });
}

/**
 * The score that parts kept units from the others, units given back left out: half way between the best
 * removed and the worst kept. Undefined if none does.
 */
export function thresholdOf(units: readonly ScoredUnit[]): number | undefined {
  const removed = units.filter(({ fate }) => fate === 'x').map(({ value }) => value);
  const kept = units.filter(({ fate }) => fate === 'k').map(({ value }) => value);
  if (removed.length === 0 || kept.length === 0) return undefined;
  const [best, worst] = [largest(removed), -largest(kept.map((value) => -value))];
  return best <= worst ? (best + worst) / 2 : undefined;
}

// Spreading tens of thousands of values into Math.max is too much for the stack.
const largest = (values: readonly number[]): number =>
  values.reduce((most, value) => Math.max(most, value), -Infinity);
