// What single groups are told apart from the rates of their kinds: a share of their own to lose, and the least that stays.
import { shown } from '../checks.js';
import { UsageError } from '../errors.js';
import type { PruningGroup } from '../models/groups.js';

/** The least units that a group keeps: a count, or a share of its first width as text such as `'10%'`. */
export type MinWidth = number | `${number}%`;

export interface GroupLimits {
  /**
   * Fraction of units to remove, in [0, 1), by the name of a group: `{ 'blocks.0.ssm': 0 }`. These groups are cut at
   * exactly that rate, and leave the ranking: the rate of their kind is that of the others. 0 leaves a group whole.
   */
  readonly rateOf?: Readonly<Record<string, number>> | undefined;
  /** The least units that every group keeps. Default `1`. */
  readonly minWidth?: MinWidth | undefined;
}

/** The rate that a group has of its own. */
export const ownRate = (rateOf: GroupLimits['rateOf'], name: string): number | undefined =>
  rateOf !== undefined && Object.hasOwn(rateOf, name) ? rateOf[name] : undefined;

/**
 * Units that a group keeps at least, at most all that it has.
 * @param full - the width that it began with, of which a share is meant
 * @param fewest - of the group itself. Default `1`
 */
export function leastUnits(full: number, minWidth: MinWidth = 1, fewest = 1): number {
  const least =
    typeof minWidth === 'number' ? minWidth : Math.ceil((shareIn(minWidth) ?? 0) * full - 1e-9);
  return Math.min(full, Math.max(fewest, least));
}

/** `10%` as 0.1; undefined for anything else. */
function shareIn(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)%$/.exec(text);
  return match ? Number(match[1]) / 100 : undefined;
}

/**
 * Finds what is wrong with the limits themselves.
 * @throws UsageError for a rate outside [0, 1), or a width that is neither a count nor a share
 */
export function checkGroupLimits({ rateOf = {}, minWidth = 1 }: GroupLimits): void {
  for (const [name, rate] of Object.entries(rateOf)) {
    if (typeof rate === 'number' && rate >= 0 && rate < 1) continue;
    throw new UsageError(
      `\`rateOf\` of ${shown(name)}: got ${shown(rate)}, expected the fraction to remove, from 0 (leave it whole) up to but ` +
        'not including 1',
    );
  }
  const share = typeof minWidth === 'string' ? shareIn(minWidth) : undefined;
  const isWidth =
    typeof minWidth === 'number'
      ? Number.isSafeInteger(minWidth) && minWidth >= 1
      : share !== undefined && share <= 1;
  if (isWidth) return;
  throw new UsageError(
    `\`minWidth\`: got ${shown(minWidth)}, expected a number of units of at least 1, or a share of the first width ` +
      'from 0% to 100% such as 10%',
  );
}

/**
 * Finds rates of groups that would change nothing.
 * @param groups - all of the model
 * @param kinds - that are cut
 * @throws UsageError for a name that is no group's, or a rate of a group whose kind is not cut
 */
export function checkOwnRates(
  groups: readonly PruningGroup[],
  kinds: readonly string[],
  rateOf: GroupLimits['rateOf'] = {},
): void {
  const kindOf = new Map(groups.map(({ name, kind }) => [name, kind]));
  for (const [name, rate] of Object.entries(rateOf)) {
    const kind = kindOf.get(name);
    if (kind === undefined) {
      throw new UsageError(
        `\`rateOf\`: got the name ${shown(name)}, expected one of ${groupList(groups)}`,
      );
    }
    if (rate === 0 || kinds.includes(kind)) continue;
    throw new UsageError(
      `\`rateOf\` of ${shown(name)}: got ${rate}, but groups of the kind ${kind} are not cut. Give ${kind} a rate, 0 to cut ` +
        'only the groups named.',
    );
  }
}

/** The names of groups for a message: all of a few, else the first and the last. */
export function groupList(groups: readonly Pick<PruningGroup, 'name'>[]): string {
  const names = groups.map(({ name }) => name);
  return names.length <= 9
    ? names.join(', ')
    : `${names.slice(0, 6).join(', ')} ... ${names.at(-1) ?? ''} (${names.length} groups)`;
}
