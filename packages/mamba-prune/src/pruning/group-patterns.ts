// Groups by patterns of their names: which to leave whole, and which to cut at a rate of their own.
import { UsageError } from '../errors.js';
import { matcherOf } from '../name-pattern.js';
import { groupList } from './group-limits.js';

/** What single groups are told by patterns of their names, in which `*` stands for any characters and `?` for one. */
export interface GroupPatterns {
  /** Groups that stay whole, such as `blocks.0.*`. They do so whatever their rate. */
  readonly exclude?: readonly string[] | undefined;
  /** Groups that are cut at a rate of their own and leave the ranking. Of several patterns that fit, the last counts. */
  readonly rateOf?: readonly PatternRate[] | undefined;
}

export interface PatternRate {
  /** Such as `*.ssm`. */
  readonly pattern: string;
  /** Share of the units to remove, from 0 up to but not including 1. */
  readonly rate: number;
}

/** A group as patterns see it. */
export interface NamedGroup {
  readonly name: string;
  readonly kind: string;
}

export const ownRateRange = { min: 0, below: 1 };

/** The option by which kinds are chosen. */
const usualTargets = '`targets`';

/**
 * The rates of single groups by name: 0 for those that stay whole. What is excluded stays so, whatever its rate.
 * @param groups - all of the model
 * @param kinds - that are cut
 * @param targets - the option by which kinds are chosen, for messages
 * @returns undefined where there are no patterns
 * @throws UsageError for a pattern that no group that is cut has, or where nothing is left to cut
 */
export function rateOfGroups(
  { exclude = [], rateOf = [] }: GroupPatterns,
  groups: readonly NamedGroup[],
  kinds: readonly string[],
  targets = usualTargets,
): Record<string, number> | undefined {
  if (exclude.length === 0 && rateOf.length === 0) return undefined;
  const rates: Record<string, number> = {};
  const set = (option: string, pattern: string, rate: number): void => {
    for (const name of matching(option, pattern, { groups, kinds, targets })) rates[name] = rate;
  };
  for (const { pattern, rate } of rateOf) set('`rateOf`', pattern, rate);
  for (const pattern of exclude) set('`exclude`', pattern, 0);
  const cut = groups.filter(({ kind }) => kinds.includes(kind));
  if (cut.every(({ name }) => rates[name] === 0)) {
    // Those at fault are named as they were given.
    const options = [
      ...(exclude.length > 0 ? ['`exclude`'] : []),
      ...(rateOf.some(({ rate }) => rate === 0) ? ['`rateOf`'] : []),
    ].join(' and ');
    throw new UsageError(
      `${options}: got patterns that leave all groups of ${kinds.join(' and ')} whole, expected some left to cut.`,
    );
  }
  return rates;
}

interface Among {
  readonly groups: readonly NamedGroup[];
  readonly kinds: readonly string[];
  readonly targets: string;
}

function matching(option: string, pattern: string, { groups, kinds, targets }: Among): string[] {
  const fits = matcherOf(pattern);
  const all = groups.filter(({ name }) => fits(name));
  const cut = all.filter(({ kind }) => kinds.includes(kind));
  if (cut.length > 0) return cut.map(({ name }) => name);
  const candidates = groups.filter(({ kind }) => kinds.includes(kind));
  const [other] = all;
  throw new UsageError(
    `${option}: got '${pattern}', ` +
      (other
        ? `which names groups of the kind ${other.kind} only, and these are not cut. Add the kind to ${targets}, or `
        : 'which is the name of no group. ') +
      `${other ? 'name' : 'Name'} some of ${groupList(candidates)}.`,
  );
}
