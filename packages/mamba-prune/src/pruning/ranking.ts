// Which units are ranked against which: those of a kind, or all together by their score for what they cost.
import type { PruningGroup } from '../models/groups.js';
import type { Widths } from '../models/width-costs.js';
import { UsageError } from '../errors.js';
import type { WidthCost } from './budget/targets.js';
import {
  type RankedGroup,
  type SelectionOptions,
  fullSize,
  keptCounts,
  rankGroups,
} from './selection.js';

/** `score-per-cost` divides a unit's score by what its removal saves, and ranks units of all kinds together. */
export const rankMeasures = ['score', 'score-per-cost'] as const;
export type RankMeasure = (typeof rankMeasures)[number];

/** Groups whose units are ranked together, with the rate of all. */
export interface Pool {
  readonly ranked: readonly RankedGroup[];
  /** Share to remove. */
  readonly rate: number;
}

export interface RankingOptions extends Omit<SelectionOptions, 'rate'> {
  /** Fraction of units to remove of each kind. */
  readonly rates: Readonly<Record<string, number>>;
  /** Default `score`. */
  readonly rankBy?: RankMeasure | undefined;
  /** What is saved by removing units; needed for `score-per-cost`. */
  readonly cost?: WidthCost | undefined;
}

/**
 * @param groups - of the kinds that have a rate
 * @throws UsageError for scores that are no numbers, or a cost that is missing
 */
export function poolsOf(
  groups: readonly PruningGroup[],
  scores: ReadonlyMap<string, ArrayLike<number>>,
  { rates, rankBy = 'score', cost, ...selection }: RankingOptions,
): Pool[] {
  const rateOf = (kind: string): number => rates[kind] as number;
  if (rankBy === 'score') {
    return Object.keys(rates).map((kind) => {
      const ofKind = groups.filter((group) => group.kind === kind);
      return { ranked: rankGroups(ofKind, scores, selection), rate: rateOf(kind) };
    });
  }
  if (cost === undefined) {
    throw new UsageError(
      '`rankBy` score-per-cost: got no cost, expected what a model of given widths costs. Give a budget, or cost.',
    );
  }
  const saved = relativeCosts(groups, cost);
  const ranked = rankGroups(groups, scores, selection).map((each) => {
    const divisor = saved.get(each.group.name) as number;
    return { ...each, scores: each.scores.map((score) => score / divisor) };
  });
  const full = (group: PruningGroup): number => fullSize(group, selection.sizes);
  const all = groups.reduce((sum, group) => sum + full(group), 0);
  // As many units as the rates of the kinds take together.
  const gone = groups.reduce((sum, group) => sum + rateOf(group.kind) * full(group), 0);
  return [{ ranked, rate: gone / all }];
}

/**
 * What the removal of one unit of each group saves, in units of the mean over all units of the groups: a score divided
 * by it is one per mean cost. Where nothing costs anything all are alike.
 */
export function relativeCosts(
  groups: readonly PruningGroup[],
  cost: WidthCost,
): ReadonlyMap<string, number> {
  const now: Widths = Object.fromEntries(groups.map(({ name, size }) => [name, size]));
  const before = cost(now);
  const saved = groups.map(({ name, size }) =>
    // No model has a group without units: of the last one it is what another would add.
    Math.abs(
      size > 1 ? before - cost({ ...now, [name]: size - 1 }) : cost({ ...now, [name]: 2 }) - before,
    ),
  );
  const units = groups.reduce((sum, { size }) => sum + size, 0);
  const mean = groups.reduce((sum, { size }, i) => sum + size * (saved[i] as number), 0) / units;
  return new Map(
    groups.map(({ name }, i) => [
      name,
      // What saves nothing goes last, and not at an infinite score.
      mean > 0 ? Math.max((saved[i] as number) / mean, 1e-9) : 1,
    ]),
  );
}

/** How many units each group keeps where every pool loses the share `rateIn` gives. */
export function countsIn(
  pools: readonly Pool[],
  options: Omit<SelectionOptions, 'rate'>,
  rateIn: (pool: Pool) => number = ({ rate }) => rate,
): Map<string, number> {
  return new Map(
    pools.flatMap((pool) => [...keptCounts(pool.ranked, { ...options, rate: rateIn(pool) })]),
  );
}
