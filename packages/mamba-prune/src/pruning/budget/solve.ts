// From a budget to the widths: the largest model of the ranking that is not above it.
//
// Every pool of the ranking loses the same share s of its units. The cost of what is left falls as s grows, so s is
// bisected between 0, where the budget does not hold, and the largest, where it has to. Between the last two shares
// lie a few units (one of each group under ranking by layer): they return one by one, best first, as long as the
// budget holds. So no unit of these would fit any more.
import { UsageError } from '../../errors.js';
import type { PruningGroup } from '../../models/groups.js';
import { sum } from '../../statistics.js';
import { type Pool, countsIn } from '../ranking.js';
import { type RankedGroup, type SelectionOptions, fullSize, roundUp } from '../selection.js';
import { inTheWay } from './in-the-way.js';
import type { BudgetTarget } from './targets.js';

export interface CostBudget {
  /** All of them have to hold. */
  readonly targets: readonly BudgetTarget[];
  /**
   * How far this cut goes on the way to the budget, geometrically: at 1/2 it leaves the root of the share that the
   * budget leaves. Default `1`, all the way.
   */
  readonly part?: number | undefined;
  /**
   * What is left of a group of `size` units of which a cut keeps `count`: refill gives some back. By default the count.
   */
  readonly final?: ((size: number, count: number) => number) | undefined;
  /** Cuts that are to come, this one included; the last of them ends at the budget. Default `1`. */
  readonly rounds?: number | undefined;
}

/**
 * What is left in the end of a group that every round to come cuts to the same count: what one round gives back, the next
 * cuts again.
 */
function endOf({ final, rounds = 1 }: CostBudget): NonNullable<CostBudget['final']> {
  if (!final) return (_, count) => count;
  return (size, count) => {
    let width = size;
    for (let round = 0; round < rounds; round++) width = final(width, Math.min(width, count));
    return width;
  };
}

/** What one target comes to. */
export interface ReachedTarget {
  readonly name: string;
  readonly limit: number;
  /** Of the model that is cut. */
  readonly before: number;
  /** Of the solution. */
  readonly reached: number;
}

export interface BudgetSolution {
  /** Units that the cut keeps of every group; under refill those of the rate, before any return. */
  readonly counts: ReadonlyMap<string, number>;
  /** Share of the first units of each kind that is gone with them. */
  readonly rates: Readonly<Record<string, number>>;
  /** What the targets come to all the way. */
  readonly targets: readonly ReachedTarget[];
}

/** The largest share: every group is left with the least that it may be. */
const mostShare = 1 - 1e-12;

/**
 * @param pools - which units are ranked against each other
 * @returns as many units as fit; all where all fit
 * @throws UsageError if the least that may be left of every group is above a target
 */
export function solveInPools(
  pools: readonly Pool[],
  options: Omit<SelectionOptions, 'rate'>,
  budget: CostBudget,
): BudgetSolution {
  const { targets, part = 1 } = budget;
  const final = endOf(budget);
  const ranked = pools.flatMap((pool) => pool.ranked);
  const widthsOf = (counts: ReadonlyMap<string, number>): Record<string, number> =>
    Object.fromEntries(
      ranked.map(({ group }) => [group.name, final(group.size, counts.get(group.name) ?? 0)]),
    );
  const fits = (counts: ReadonlyMap<string, number>): boolean => {
    const widths = widthsOf(counts);
    return targets.every(({ cost, limit }) => cost(widths) <= limit);
  };
  const at = (share: number) => countsIn(pools, options, () => share);
  let counts: ReadonlyMap<string, number> = at(0);
  if (!fits(counts)) {
    let low = 0;
    let high = mostShare;
    let over = counts;
    let under: ReadonlyMap<string, number> = at(high);
    if (!fits(under)) {
      throw outOfReach(targets, widthsOf(under), {
        isGrowing: growthIn(ranked, under, final),
        limits: inTheWay(options, (limits) => countsIn(pools, limits, () => mostShare)),
      });
    }
    while (high - low > 1e-9 && between(over, under) > 1) {
      const middle = (low + high) / 2;
      const tried = at(middle);
      if (fits(tried)) {
        high = middle;
        under = tried;
      } else {
        low = middle;
        over = tried;
      }
    }
    counts = fill(ranked, over, under, options, fits);
  }
  const widths = widthsOf(counts);
  const all = Object.fromEntries(ranked.map(({ group }) => [group.name, group.size]));
  const reached = targets.map(({ name, limit, cost }) => ({
    name,
    limit,
    before: cost(all),
    reached: cost(widths),
  }));
  const goes = part === 1 ? counts : within(pools, options, budget, { counts, fits });
  return { counts: goes, rates: ratesByKind(ranked, goes, options), targets: reached };
}

/** Units by which two choices differ. */
function between(over: ReadonlyMap<string, number>, under: ReadonlyMap<string, number>): number {
  let sum = 0;
  for (const [name, count] of over) sum += count - (under.get(name) ?? 0);
  return sum;
}

/** `under` with as many as fit of the units that `over` has more, best first. */
function fill(
  ranked: readonly RankedGroup[],
  over: ReadonlyMap<string, number>,
  under: ReadonlyMap<string, number>,
  { roundTo = 1, sizes }: Omit<SelectionOptions, 'rate'>,
  fits: (counts: ReadonlyMap<string, number>) => boolean,
): ReadonlyMap<string, number> {
  let counts = under;
  const countOf = ({ group }: RankedGroup): number => counts.get(group.name) as number;
  const nextScore = (each: RankedGroup): number =>
    each.scores[each.order[countOf(each)] as number] as number;
  let open = ranked.filter((each) => countOf(each) < (over.get(each.group.name) as number));
  while (open.length > 0) {
    const best = open.reduce((a, b) => (nextScore(b) > nextScore(a) ? b : a));
    const { name, size } = best.group;
    const next = Math.min(size, roundUp(countOf(best) + 1, roundTo, fullSize(best.group, sizes)));
    const more = new Map(counts).set(name, next);
    const isMore = fits(more);
    if (isMore) counts = more;
    open = open.filter(
      (each) => (isMore || each !== best) && countOf(each) < (over.get(each.group.name) as number),
    );
  }
  return counts;
}

/**
 * The counts of a cut that goes its part of the way, or, where refill gives back too much for the rounds to come to end at
 * the budget then, as little further as they need.
 */
function within(
  pools: readonly Pool[],
  options: Omit<SelectionOptions, 'rate'>,
  { targets, part = 1, final, rounds = 1 }: CostBudget,
  { counts, fits }: Solved,
): ReadonlyMap<string, number> {
  const goes = (share: number) => onTheWay(pools, options, counts, share);
  if (!final || rounds === 1 || !fits(counts)) return goes(part);
  const least = countsIn(pools, options, () => mostShare);
  const end = endOf({ targets, final, rounds: rounds - 1 });
  const ranked = pools.flatMap((pool) => pool.ranked);
  const canEnd = (cut: ReadonlyMap<string, number>): boolean => {
    const widths = Object.fromEntries(
      ranked.map(({ group: { name, size } }) => {
        const left = final(size, cut.get(name) ?? 0);
        return [name, end(left, least.get(name) ?? 0)];
      }),
    );
    return targets.every(({ cost, limit }) => cost(widths) <= limit);
  };
  const first = goes(part);
  if (canEnd(first)) return first;
  // All the way it can: every round to come may cut to the same counts again.
  let low = part;
  let high = 1;
  let found = counts;
  while (high - low > 1e-3) {
    const middle = (low + high) / 2;
    const tried = goes(middle);
    if (canEnd(tried)) {
      high = middle;
      found = tried;
    } else low = middle;
  }
  return found;
}

interface Solved {
  readonly counts: ReadonlyMap<string, number>;
  readonly fits: (counts: ReadonlyMap<string, number>) => boolean;
}

/** The counts of a cut that goes a part of the way: each pool loses its part of the share that it loses in the end. */
function onTheWay(
  pools: readonly Pool[],
  { rateOf, ...options }: Omit<SelectionOptions, 'rate'>,
  counts: ReadonlyMap<string, number>,
  part: number,
): Map<string, number> {
  const partOf = (rate: number): number => 1 - (1 - rate) ** part;
  const own = Object.entries(rateOf ?? {}).map(([name, rate]) => [name, partOf(rate)] as const);
  const goneIn = ({ ranked }: Pool): number => {
    const together = ranked.filter(({ group }) => rateOf?.[group.name] === undefined);
    const full = sum(together.map(({ group }) => fullSize(group, options.sizes)));
    return full === 0
      ? 0
      : 1 - sum(together.map(({ group }) => counts.get(group.name) ?? 0)) / full;
  };
  return countsIn(pools, { ...options, rateOf: Object.fromEntries(own) }, (pool) =>
    Math.max(0, partOf(goneIn(pool))),
  );
}

function ratesByKind(
  ranked: readonly RankedGroup[],
  counts: ReadonlyMap<string, number>,
  { sizes }: Omit<SelectionOptions, 'rate'>,
): Record<string, number> {
  const kinds = [...new Set(ranked.map(({ group }) => group.kind))];
  return Object.fromEntries(
    kinds.map((kind) => {
      const groups = ranked.flatMap(({ group }) => (group.kind === kind ? [group] : []));
      const left = sum(groups.map(({ name }) => counts.get(name) ?? 0));
      return [kind, 1 - left / sum(groups.map((group) => fullSize(group, sizes)))];
    }),
  );
}

/**
 * Finds whether a budget can be reached at all, before anything is scored.
 * @throws UsageError as `solveInPools`
 */
export function checkReach(
  groups: readonly PruningGroup[],
  options: Omit<SelectionOptions, 'rate'>,
  budget: CostBudget,
): void {
  const { targets } = budget;
  const final = endOf(budget);
  // How much is left at the least depends on no score.
  const ranked = groups.map((group): RankedGroup => ({
    group,
    order: Array.from({ length: group.size }, (_, unit) => unit),
    scores: new Float64Array(group.size),
  }));
  const leastUnder = (limits: Omit<SelectionOptions, 'rate'>) =>
    countsIn([{ ranked, rate: mostShare }], limits);
  const least = leastUnder(options);
  const widths = Object.fromEntries(
    groups.map(({ name, size }) => [name, final(size, least.get(name) ?? 0)]),
  );
  if (targets.some(({ cost, limit }) => cost(widths) > limit)) {
    throw outOfReach(targets, widths, {
      isGrowing: growthIn(ranked, least, final),
      limits: inTheWay(options, leastUnder),
    });
  }
}

/** Whether units come back on top of a cut. */
const growthIn = (
  ranked: readonly RankedGroup[],
  counts: ReadonlyMap<string, number>,
  final: NonNullable<CostBudget['final']>,
): boolean =>
  ranked.some(({ group: { name, size } }) => {
    const count = counts.get(name) ?? 0;
    return final(size, count) > count;
  });

function outOfReach(
  targets: readonly BudgetTarget[],
  least: Readonly<Record<string, number>>,
  { isGrowing, limits }: { readonly isGrowing: boolean; readonly limits: readonly string[] },
): UsageError {
  const missed = targets.filter(({ cost, limit }) => cost(least) > limit);
  const amounts = missed.map(
    ({ name, limit, cost }) => `${show(cost(least))} ${name} (the budget is ${show(limit)})`,
  );
  const ways = [
    'Raise the budget',
    'let more groups or kinds be cut',
    ...(limits.length > 0 ? [`ask less of what keeps units: ${limits.join(', ')}`] : []),
    ...(isGrowing ? ['cut deeper for the units that refill gives back (`refillBudget` keep)'] : []),
  ];
  const last = ways.pop() as string;
  return new UsageError(
    `budget: the least that these groups can be cut to is ${amounts.join(' and ')}. ${ways.join(', ')}${ways.length > 1 ? ',' : ''} or ${last}.`,
  );
}

const show = (value: number): string =>
  value >= 1000 ? Math.round(value).toLocaleString('en-US') : String(Number(value.toPrecision(4)));
