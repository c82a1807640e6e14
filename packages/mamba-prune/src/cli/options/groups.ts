// The flags of groups by patterns of their names: which to leave whole, and which to cut at a rate of their own.
import { InvalidArgumentError, Option } from 'commander';
import type { MinWidth } from '../../pruning/group-limits.js';
import {
  type GroupPatterns,
  type PatternRate,
  ownRateRange,
} from '../../pruning/group-patterns.js';
import { inRange, rangeWords } from '../../checks.js';
import { largestSize } from '../../limits.js';

export interface GroupFlags extends GroupPatterns {
  readonly minWidth?: MinWidth;
}

/** `_` in the flags of `imp`. */
type Mark = '-' | '_';

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
    if (pattern !== '' && rate >= ownRateRange.min && rate < ownRateRange.below) {
      return [...(before ?? []), { pattern, rate }];
    }
    throw new InvalidArgumentError(
      `Expected names of groups and ${rangeWords('a number', ownRateRange)}, such as 'blocks.0.*=0.5'.`,
    );
  }),
  minWidthOption(mark),
];
