// Which units stay, from their scores.
import { shown } from '../checks.js';
import { UsageError } from '../errors.js';
import { type OptionKinds, requireOptions } from '../option-checks.js';
import type { KeptUnits, PruningGroup } from '../models/groups.js';
import { todaysCut } from './earlier-names.js';
import { type GroupLimits, checkGroupLimits, leastUnits, ownRate } from './group-limits.js';

/** `global` ranks the units of all groups together, `layer` those of each group by themselves. */
export const rankings = ['global', 'layer'] as const;
export type Ranking = (typeof rankings)[number];
export const normalizations = ['mean', 'none'] as const;

export interface SelectionOptions extends GroupLimits {
  /** Fraction of the units to remove, in [0, 1). */
  readonly rate: number;
  /** `global` ranks the units of all groups together, `layer` removes the same share of each. */
  readonly ranking: Ranking;
  /** Under `global`: divide a group's scores by their mean first, so that depth alone does not decide. */
  readonly normalize?: (typeof normalizations)[number] | undefined;
  /** Round the units kept of each group up to a multiple of this. */
  readonly roundTo?: number | undefined;
  /** Largest fraction one group may lose under `global`. */
  readonly maxRate?: number | undefined;
  /**
   * What the rates are shares of, per group name: in a run of several rounds the widths that it began
   * with, so that the last round leaves exactly what a single cut would. By default the groups' own sizes.
   */
  readonly sizes?: Readonly<Record<string, number>> | undefined;
}

/** Of the options that every kind of selection has. */
export const selectionKinds: OptionKinds<Omit<SelectionOptions, 'rate'>> = {
  ranking: 'string',
  normalize: 'string',
  roundTo: 'number',
  maxRate: 'number',
  sizes: 'object',
  rateOf: 'object',
  minWidth: 'any',
};

/** The size that a group's rate is a share of; at least what it has now. */
export const fullSize = ({ name, size }: PruningGroup, sizes: SelectionOptions['sizes']): number =>
  Math.max(size, sizes?.[name] ?? size);

/**
 * Units kept of `size` at a rate: round((1 - rate) * size), at least `fewest`, rounded up to a multiple, and at most `size`.
 * @param fewest - of the group. Default `1`
 */
export function keptCount(size: number, rate: number, roundTo = 1, fewest = 1): number {
  return roundUp(Math.max(fewest, Math.round((1 - rate) * size)), roundTo, size);
}

/** The next multiple of `roundTo`, or `size` if that is less. */
export const roundUp = (count: number, roundTo: number, size: number): number =>
  Math.min(size, Math.ceil(count / roundTo) * roundTo);

/**
 * Chooses the units that stay in groups of one kind. Ties go to the lower index and the earlier
 * group, so the same scores give the same choice on every machine. No group ends empty, or with fewer units than its `fewest`.
 *
 * @param groups - ranked against each other; of one kind
 * @param scores - per group name, one score per unit; larger is better
 * @throws UsageError for a rate outside [0, 1), or scores that are no numbers
 */
export function selectUnits(
  groups: readonly PruningGroup[],
  scores: ReadonlyMap<string, ArrayLike<number>>,
  given: SelectionOptions,
): KeptUnits {
  const options = todaysCut(given);
  requireOptions('selectUnits', options, { rate: 'number', ...selectionKinds });
  checkSelection(options);
  const ranked = rankGroups(groups, scores, options);
  return bestUnits(ranked, keptCounts(ranked, options));
}

/** The best units of each group, so many as the counts say by its name. */
export const bestUnits = (
  ranked: readonly RankedGroup[],
  counts: ReadonlyMap<string, number>,
): KeptUnits =>
  new Map(
    ranked.map(({ group, order }) => [
      group.name,
      increasing(order.slice(0, counts.get(group.name))),
    ]),
  );

/** The same units, in the order that `KeptUnits` has them. */
export const increasing = (units: readonly number[]): number[] => [...units].sort((a, b) => a - b);

/** @throws UsageError for scores that are no numbers, or not one for each unit */
export const rankGroups = (
  groups: readonly PruningGroup[],
  scores: ReadonlyMap<string, ArrayLike<number>>,
  options: Omit<SelectionOptions, 'rate'>,
): RankedGroup[] => groups.map((group) => rank(group, scores.get(group.name), options));

/** How many units each group keeps. */
export function keptCounts(
  ranked: readonly RankedGroup[],
  options: SelectionOptions,
): Map<string, number> {
  const { rateOf, ranking, rate } = options;
  const isApart = ({ group }: RankedGroup) => ownRate(rateOf, group.name) !== undefined;
  const together = ranked.filter((each) => !isApart(each));
  const counts =
    ranking === 'layer'
      ? together.map(({ group }) => countAlone(group, rate, options))
      : globalCounts(together, options);
  return new Map([
    ...ranked
      .filter(isApart)
      .map(({ group }): [string, number] => [
        group.name,
        countAlone(group, ownRate(rateOf, group.name) as number, options),
      ]),
    ...together.map(({ group }, index): [string, number] => [group.name, counts[index] as number]),
  ]);
}

/** Units that a group keeps which is cut at a rate of its own. */
function countAlone(
  group: PruningGroup,
  rate: number,
  { roundTo = 1, sizes, minWidth }: SelectionOptions,
): number {
  const full = fullSize(group, sizes);
  const least = Math.max(keptCount(full, rate), leastUnits(full, minWidth, group.fewest));
  return Math.min(group.size, roundUp(least, roundTo, full));
}

/** The units of a group in the order in which they stay. */
export interface RankedGroup {
  readonly group: PruningGroup;
  /** Unit indices, best first. */
  readonly order: number[];
  /** Scores as compared between groups. */
  readonly scores: Float64Array;
}

function rank(
  group: PruningGroup,
  given: ArrayLike<number> | undefined,
  { ranking, normalize = 'mean' }: Omit<SelectionOptions, 'rate'>,
): RankedGroup {
  if (given?.length !== group.size) {
    throw new UsageError(
      `group '${group.name}': got ${given?.length ?? 0} scores, expected ${group.size}, one per unit`,
    );
  }
  const scores = Float64Array.from(given);
  checkScores(group.name, scores);
  if (ranking === 'global' && normalize === 'mean') {
    const mean = scores.reduce((sum, score) => sum + score, 0) / group.size;
    // A group of zeros stays one: all its units are equally worthless.
    if (mean > 0) scores.forEach((score, i) => (scores[i] = score / mean));
  }
  return { group, order: bestFirst(scores), scores };
}

/** Indices of the scores from the largest to the smallest; ties go to the lower index. */
export function bestFirst(scores: Float64Array): number[] {
  return Array.from(scores.keys()).sort((a, b) => at(scores, b) - at(scores, a) || a - b);
}

/** @throws UsageError naming the first score that is infinite or no number */
export function checkScores(group: string, scores: Float64Array): void {
  const bad = scores.findIndex((score) => !Number.isFinite(score));
  if (bad >= 0) {
    throw new UsageError(
      `group '${group}': the score of unit ${bad} is ${scores[bad] as number}, expected a finite number. ` +
        'Has the model diverged?',
    );
  }
}

const at = (array: Float64Array, index: number): number => array[index] as number;

/** Keeps the best units of all groups together, but at least what each group must keep. */
function globalCounts(ranked: readonly RankedGroup[], options: SelectionOptions): number[] {
  const { rate, roundTo = 1, maxRate = 1, sizes, minWidth } = options;
  const total = ranked.reduce((sum, { group }) => sum + fullSize(group, sizes), 0);
  const counts = ranked.map(({ group }) => {
    const full = fullSize(group, sizes);
    const least = Math.max(
      leastUnits(full, minWidth, group.fewest),
      full - Math.floor(maxRate * full + 1e-9),
    );
    return Math.min(group.size, least);
  });
  let left = Math.round((1 - rate) * total) - counts.reduce((sum, count) => sum + count, 0);
  const candidates = ranked.flatMap(({ order, scores }, groupIndex) =>
    order.slice(counts[groupIndex]).map((unit) => ({ groupIndex, unit, score: at(scores, unit) })),
  );
  candidates.sort((a, b) => b.score - a.score || a.groupIndex - b.groupIndex || a.unit - b.unit);
  for (const { groupIndex } of candidates) {
    if (left-- <= 0) break;
    counts[groupIndex] = (counts[groupIndex] as number) + 1;
  }
  return counts.map((count, index) =>
    roundUp(count, roundTo, (ranked[index] as RankedGroup).group.size),
  );
}

/**
 * @param kind - whose rate it is, where each kind has its own
 * @throws UsageError for what `selectUnits` refuses, before any scores are made
 */
export function checkSelection(
  {
    rate,
    ranking,
    normalize = 'mean',
    roundTo = 1,
    maxRate = 1,
    rateOf,
    minWidth,
  }: SelectionOptions,
  kind?: string,
): void {
  if (!(typeof rate === 'number' && rate >= 0 && rate < 1)) {
    throw new UsageError(
      `rate: got ${shown(rate)}${kind === undefined ? '' : ` for ${kind}`}, expected the fraction to remove, from 0 up to but not including 1 (0.7 removes 70%)`,
    );
  }
  checkChoice('ranking', ranking, rankings);
  checkChoice('normalize', normalize, normalizations);
  if (!Number.isInteger(roundTo) || roundTo < 1) {
    throw new UsageError(`\`roundTo\`: got ${roundTo}, expected a positive integer such as 8`);
  }
  if (!(maxRate > 0 && maxRate <= 1)) {
    throw new UsageError(`\`maxRate\`: got ${maxRate}, expected a fraction over 0 and up to 1`);
  }
  checkGroupLimits({ rateOf, minWidth });
}

/** @throws UsageError naming the valid choices */
export function checkChoice(
  what: string,
  value: string | undefined,
  valid: readonly string[],
): void {
  if (value === undefined || !valid.includes(value)) {
    const got = value === undefined ? 'nothing' : `'${value}'`;
    throw new UsageError(`${what}: got ${got}, expected one of ${valid.join(', ')}`);
  }
}
