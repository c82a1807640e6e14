// Groups by patterns of their names: which to leave whole, and which to cut at a rate of their own.
import { InvalidArgumentError, Option } from 'commander';
import { UsageError } from '../../errors.js';
import { matcherOf } from '../../name-pattern.js';
import { type MinWidth, groupList } from '../../pruning/group-limits.js';
import { inRange, rangeWords } from '../../checks.js';
import { largestSize } from '../../limits.js';

export interface GroupFlags {
  readonly exclude?: readonly string[];
  readonly rateOf?: readonly PatternRate[];
  readonly minWidth?: MinWidth;
}

export interface PatternRate {
  readonly pattern: string;
  readonly rate: number;
}

/** A group as patterns see it. */
export interface NamedGroup {
  readonly name: string;
  readonly kind: string;
}

/** `_` in the flags of `imp`. */
type Mark = '-' | '_';

const targetFlags = {
  '-': '--target',
  _: '--mamba_prune_target or --vit_prune_target',
} as const satisfies Record<Mark, string>;

const rateRange = { min: 0, below: 1 };

const unitRange = { min: 1, max: largestSize };

/** @param mark - between the words of the flag */
export const minWidthOption = (mark: Mark = '-'): Option =>
  new Option(
    `--min${mark}width <n|x%>`,
    'least units that every group keeps, or a share of its width such as 10% (default: 1)',
  ).argParser((text: string): MinWidth => {
    const percent = /^(\d+(?:\.\d+)?)%$/.exec(text.trim());
    if (percent && Number(percent[1]) <= 100) return `${Number(percent[1])}%`;
    if (/^\d+$/.test(text.trim()) && inRange(Number(text), unitRange)) return Number(text);
    throw new InvalidArgumentError(
      `Expected ${rangeWords('an integer', unitRange)}, for a number of units, or a share from 0% to 100% such as 10%.`,
    );
  });

/** @param mark - between the words of a flag */
export const groupOptions = (mark: Mark = '-'): Option[] => [
  new Option(
    '--exclude <pattern>',
    "groups that stay whole, by name, such as 'blocks.0.*' or '*.ssm' (repeatable)",
  ).argParser((text: string, before?: readonly string[]) => {
    if (text.trim() !== '') return [...(before ?? []), text.trim()];
    throw new InvalidArgumentError("Expected names of groups, such as 'blocks.0.*'.");
  }),
  new Option(
    `--rate${mark}of <pattern=x>`,
    "rate of the groups of these names alone, such as 'blocks.0.*=0.5' (repeatable; the last that fits counts)",
  ).argParser((text: string, before?: readonly PatternRate[]) => {
    const at = text.lastIndexOf('=');
    const pattern = text.slice(0, Math.max(0, at)).trim();
    const rate = at < 0 || text.slice(at + 1).trim() === '' ? NaN : Number(text.slice(at + 1));
    if (pattern !== '' && rate >= rateRange.min && rate < rateRange.below) {
      return [...(before ?? []), { pattern, rate }];
    }
    throw new InvalidArgumentError(
      `Expected names of groups and ${rangeWords('a number', rateRange)}, such as 'blocks.0.*=0.5'.`,
    );
  }),
  minWidthOption(mark),
];

/**
 * The rates of single groups by name: 0 for those that stay whole. What is excluded stays so, whatever its rate.
 * @param groups - all of the model
 * @param kinds - that are cut
 * @param mark - between the words of the flags, for messages
 * @returns undefined where no flag was given
 * @throws UsageError for a pattern that no group that is cut has, or where nothing is left to cut
 */
export function rateOfGroups(
  { exclude = [], rateOf = [] }: GroupFlags,
  groups: readonly NamedGroup[],
  kinds: readonly string[],
  mark: Mark = '-',
): Record<string, number> | undefined {
  if (exclude.length === 0 && rateOf.length === 0) return undefined;
  const rates: Record<string, number> = {};
  const set = (flag: string, pattern: string, rate: number): void => {
    for (const name of matching(flag, pattern, groups, kinds, mark)) rates[name] = rate;
  };
  for (const { pattern, rate } of rateOf) set(`--rate${mark}of`, pattern, rate);
  for (const pattern of exclude) set('--exclude', pattern, 0);
  const cut = groups.filter(({ kind }) => kinds.includes(kind));
  if (cut.every(({ name }) => rates[name] === 0)) {
    // Those at fault are named as they were given.
    const flags = [
      ...(exclude.length > 0 ? ['--exclude'] : []),
      ...(rateOf.some(({ rate }) => rate === 0) ? [`--rate${mark}of`] : []),
    ].join(' and ');
    throw new UsageError(
      `${flags}: got patterns that leave all groups of ${kinds.join(' and ')} whole, expected some left to cut.`,
    );
  }
  return rates;
}

function matching(
  flag: string,
  pattern: string,
  groups: readonly NamedGroup[],
  kinds: readonly string[],
  mark: Mark,
): string[] {
  const fits = matcherOf(pattern);
  const all = groups.filter(({ name }) => fits(name));
  const cut = all.filter(({ kind }) => kinds.includes(kind));
  if (cut.length > 0) return cut.map(({ name }) => name);
  const candidates = groups.filter(({ kind }) => kinds.includes(kind));
  const [other] = all;
  throw new UsageError(
    `${flag}: got '${pattern}', ` +
      (other
        ? `which names groups of the kind ${other.kind} only, and these are not cut. Add the kind to ${targetFlags[mark]}, or `
        : 'which is the name of no group. ') +
      `${other ? 'name' : 'Name'} some of ${groupList(candidates)}.`,
  );
}
