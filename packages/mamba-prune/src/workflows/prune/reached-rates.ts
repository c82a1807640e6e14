// What share of the units a cut really removed, and what held it back: a rate is a wish that the other
// settings may overrule.
import type { KeptUnits } from '../../models/groups.js';
import { roundUp } from '../../pruning/selection.js';
import type { ResolvedPruneSettings } from './settings.js';
import { ratesAfter } from './rates-after-round.js';

/**
 * `max-rate`: the most that one group may lose; `minimum`: every group keeps one unit; `round-to`: widths
 * are rounded up; `fillback`: refill gave units back on top of the rate.
 */
export const rateLimits = ['max-rate', 'minimum', 'round-to', 'fillback'] as const;
export type RateLimit = (typeof rateLimits)[number];

export interface HeldBack {
  readonly kind: string;
  readonly limit: RateLimit;
  /** Where it did so, in the order of the network; empty where the ranking of all groups together does not tell. */
  readonly groups: string[];
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
}

/** A group that could have lost units. */
interface CutGroup {
  readonly name: string;
  readonly before: number;
  readonly after: number;
  readonly returned: number;
}

type Limits = Pick<
  ResolvedPruneSettings,
  'rates' | 'rounds' | 'perRound' | 'ranking' | 'roundTo' | 'maxRate' | 'refill' | 'rsst'
>;

/** @param round - counted from 1, the one that left these widths */
export function reachedRates(
  settings: Limits,
  round: number,
  { kinds, widthsBefore, widths, returned }: CutWidths,
): ReachedRates {
  const reached: Record<string, number> = {};
  const heldBack: HeldBack[] = [];
  for (const [kind, rate] of Object.entries(ratesAfter(settings, round))) {
    const groups = Object.entries(widthsBefore)
      .filter(([name]) => kinds[name] === kind)
      .map(([name, before]) => ({
        name,
        before,
        after: widths[name] ?? before,
        returned: returned?.get(name)?.length ?? 0,
      }));
    const total = sum(groups.map(({ before }) => before));
    reached[kind] = total === 0 ? 0 : 1 - sum(groups.map(({ after }) => after)) / total;
    // It deletes what there is, whatever the rate.
    if (settings.rsst != null && settings.rsst.nearZero !== null) continue;
    for (const [limit, held] of limitsOf(groups, rate, settings)) {
      heldBack.push({ kind, limit, groups: held });
    }
  }
  return { reached, heldBack };
}

/** By the rules of `selectUnits` and `refillCounts`. */
function limitsOf(
  groups: readonly CutGroup[],
  rate: number,
  { ranking, roundTo, maxRate, refill }: Limits,
): Map<RateLimit, string[]> {
  const found = new Map<RateLimit, string[]>();
  const hold = (limit: RateLimit, names: string[], always = false): void => {
    if (names.length > 0 || always) found.set(limit, names);
  };
  const named = (holds: (group: CutGroup) => boolean): string[] =>
    groups.filter(holds).map(({ name }) => name);
  const adds = refill?.budget === 'add';
  const back = (group: CutGroup): number => (adds ? group.returned : 0);
  const asked = (size: number): number => Math.round((1 - rate) * size);
  if (ranking === 'layer') {
    hold(
      'minimum',
      named(({ before }) => asked(before) < 1),
    );
    hold(
      'round-to',
      named(({ before }) => {
        const least = Math.max(1, asked(before));
        return roundUp(least, roundTo, before) > least;
      }),
    );
  } else {
    const free = ({ before }: CutGroup): number => before - Math.floor(maxRate * before + 1e-9);
    const least = (group: CutGroup): number => Math.max(1, free(group));
    const total = asked(sum(groups.map(({ before }) => before)));
    const floor = sum(groups.map(least));
    if (floor > total) {
      hold(
        'max-rate',
        named((group) => free(group) > 1),
      );
      hold(
        'minimum',
        named((group) => free(group) <= 1),
      );
    }
    const kept = sum(groups.map((group) => group.after - back(group)));
    hold('round-to', [], roundTo > 1 && kept > Math.max(floor, total));
  }
  hold(
    'fillback',
    named((group) => back(group) > 0),
  );
  return found;
}

const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);
