// What share of the units a cut really removed, and what held it back: a rate is a wish that the other
// settings may overrule.
import type { KeptUnits } from '../../models/groups.js';
import { leastUnits, ownRate } from '../../pruning/group-limits.js';
import { keptCount, roundUp } from '../../pruning/selection.js';
import { sum } from '../../statistics.js';
import type { ResolvedPruneSettings } from './settings.js';
import { ratesAfter, ratesOfGroupsAfter } from './rates-after-round.js';

/**
 * `max-rate`: the most that one group may lose; `minimum`: every group keeps one unit, or its `fewest`; `min-width`: it keeps as many as
 * were asked for; `round-to`: widths are rounded up; `fillback`: refill gave units back on top of the rate; `rate-of`:
 * these groups have a lower rate of their own.
 */
export const rateLimits = [
  ...(['max-rate', 'minimum', 'round-to', 'fillback'] as const),
  ...(['min-width', 'rate-of'] as const),
] as const;
export type RateLimit = (typeof rateLimits)[number];

export interface HeldBack {
  readonly kind: string;
  readonly limit: RateLimit;
  /** Where it did so, in the order of the network; empty where the ranking of all groups together does not tell. */
  readonly groups: string[];
  /** Under `minimum`: units that each of them keeps; left out for one. */
  readonly fewest?: number | undefined;
}

export interface ReachedRates {
  /** Share of the units that the run began with that is gone, per kind with a rate. */
  readonly reached: Record<string, number>;
  readonly heldBack: HeldBack[];
}

interface CutWidths {
  /** Kind of every group. */
  readonly kinds: Readonly<Record<string, string>>;
  readonly widthsBefore: Readonly<Record<string, number>>;
  /** After the cut. */
  readonly widths: Readonly<Record<string, number>>;
  /** What refill gave back in it. */
  readonly returned?: KeptUnits | undefined;
  /** Units that a group keeps at least, of those that keep more than one. */
  readonly fewest?: Readonly<Record<string, number>> | undefined;
}

/** A group that could have lost units. */
interface CutGroup {
  readonly name: string;
  readonly before: number;
  readonly after: number;
  readonly returned: number;
  /** Its own rate after the round. */
  readonly own: number | undefined;
  /** Units that it keeps whatever is asked for. */
  readonly fewest: number;
}

type Limits = Pick<
  ResolvedPruneSettings,
  | 'rates'
  | 'rounds'
  | 'perRound'
  | 'ranking'
  | 'roundTo'
  | 'maxRate'
  | 'rateOf'
  | 'minWidth'
  | 'costBudget'
  | 'refill'
  | 'rsst'
>;

/** @param round - counted from 1, the one that left these widths */
export function reachedRates(
  settings: Limits,
  round: number,
  { kinds, widthsBefore, widths, returned, fewest }: CutWidths,
): ReachedRates {
  const reached: Record<string, number> = {};
  const heldBack: HeldBack[] = [];
  const ownRates = ratesOfGroupsAfter(settings, round);
  for (const [kind, rate] of Object.entries(ratesAfter(settings, round))) {
    const groups = Object.entries(widthsBefore)
      .filter(([name]) => kinds[name] === kind)
      .map(([name, before]) => ({
        name,
        before,
        after: widths[name] ?? before,
        returned: returned?.get(name)?.length ?? 0,
        own: ownRate(ownRates, name),
        fewest: Math.min(before, fewest?.[name] ?? 1),
      }));
    const total = sum(groups.map(({ before }) => before));
    reached[kind] = total === 0 ? 0 : 1 - sum(groups.map(({ after }) => after)) / total;
    // It deletes what there is, whatever the rate.
    if (settings.rsst != null && settings.rsst.nearZero !== null) continue;
    // It is a budget that decides, and what it comes to stands beside it.
    if (settings.costBudget) continue;
    const isShort = Math.round((1 - rate) * total) < sum(groups.map(({ after }) => after));
    const limits = limitsOf(groups, rate, settings);
    // Where groups have higher rates of their own, nothing was held back.
    if (isShort) addOwnLimits(limits, groups, rate, settings);
    for (const [limit, held] of limits) {
      // All groups of a kind are alike in this.
      const least = Math.max(...groups.map((group) => group.fewest));
      const keeps = limit === 'minimum' && least > 1 ? { fewest: least } : {};
      heldBack.push({ kind, limit, groups: held, ...keeps });
    }
  }
  return { reached, heldBack };
}

/** Units that a group keeps at least. */
const floorsOf =
  (minWidth: Limits['minWidth']) =>
  ({ before, fewest }: CutGroup): number =>
    leastUnits(before, minWidth, fewest);

/** By the rules of `selectUnits` and `refillCounts`. */
function limitsOf(
  all: readonly CutGroup[],
  rate: number,
  { ranking, roundTo, maxRate, minWidth, refill }: Limits,
): Map<RateLimit, string[]> {
  const found = new Map<RateLimit, string[]>();
  const hold = (limit: RateLimit, names: string[], always = false): void => {
    if (names.length > 0 || always) found.set(limit, names);
  };
  // Those with a rate of their own are no part of the ranking.
  const groups = all.filter(({ own }) => own === undefined);
  const named = (holds: (group: CutGroup) => boolean, of: readonly CutGroup[] = groups): string[] =>
    of.filter(holds).map(({ name }) => name);
  const adds = refill?.budget === 'add';
  const back = (group: CutGroup): number => (adds ? group.returned : 0);
  const asked = (size: number): number => Math.round((1 - rate) * size);
  const floorOf = floorsOf(minWidth);
  const isOwnFloor = (group: CutGroup): boolean => floorOf(group) === group.fewest;
  if (ranking === 'layer') {
    hold(
      'minimum',
      named((group) => asked(group.before) < floorOf(group) && isOwnFloor(group)),
    );
    hold(
      'min-width',
      named((group) => asked(group.before) < floorOf(group) && !isOwnFloor(group)),
    );
    hold(
      'round-to',
      named((group) => {
        const least = Math.max(floorOf(group), asked(group.before));
        return roundUp(least, roundTo, group.before) > least;
      }),
    );
  } else {
    const free = ({ before }: CutGroup): number => before - Math.floor(maxRate * before + 1e-9);
    const least = (group: CutGroup): number => Math.max(floorOf(group), free(group));
    const total = asked(sum(groups.map(({ before }) => before)));
    const floor = sum(groups.map(least));
    if (floor > total) {
      hold(
        'max-rate',
        named((group) => free(group) > floorOf(group)),
      );
      hold(
        'minimum',
        named((group) => least(group) === group.fewest),
      );
      hold(
        'min-width',
        named((group) => !isOwnFloor(group) && free(group) <= floorOf(group)),
      );
    }
    const kept = sum(groups.map((group) => group.after - back(group)));
    hold('round-to', [], roundTo > 1 && kept > Math.max(floor, total));
  }
  hold(
    'fillback',
    named((group) => back(group) > 0, all),
  );
  return found;
}

/** What held back the groups that have a rate of their own, by the same rules; that rate itself where all of them ask for less. */
function addOwnLimits(
  found: Map<RateLimit, string[]>,
  all: readonly CutGroup[],
  rate: number,
  { roundTo, minWidth }: Limits,
): void {
  const own = all.flatMap((group) =>
    group.own === undefined ? [] : [{ ...group, own: group.own }],
  );
  const add = (limit: RateLimit, groups: readonly { readonly name: string }[]): void => {
    const before = found.get(limit);
    // None named: the ranking does not tell which.
    if (groups.length === 0 || before?.length === 0) return;
    const names = new Set([...(before ?? []), ...groups.map(({ name }) => name)]);
    found.set(
      limit,
      all.flatMap(({ name }) => (names.has(name) ? [name] : [])),
    );
  };
  const floorOf = floorsOf(minWidth);
  const least = (group: CutGroup & { readonly own: number }): number =>
    Math.max(floorOf(group), keptCount(group.before, group.own));
  add(
    'minimum',
    own.filter(
      (group) =>
        group.fewest > 1 &&
        floorOf(group) > keptCount(group.before, group.own) &&
        floorOf(group) === group.fewest,
    ),
  );
  add(
    'min-width',
    own.filter((group) => {
      const wider = Math.max(group.fewest, keptCount(group.before, group.own));
      return floorOf(group) > wider;
    }),
  );
  add(
    'round-to',
    own.filter((group) => roundUp(least(group), roundTo, group.before) > least(group)),
  );
  // Less than half a unit is rounding: rates of sensitivity make up the rate of their kind.
  if (sum(own.map((group) => (rate - group.own) * group.before)) < 0.5) return;
  add(
    'rate-of',
    own.filter((group) => group.own < rate),
  );
}
