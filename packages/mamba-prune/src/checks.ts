/**
 * Checks of values: numbers in a range, and choices. All messages have one wording, "where: name: got this, expected
 * that. Do so." Nothing of libtorch is needed here: the command line checks its arguments with this before
 * anything is loaded, and so do the threads that prepare batches. Options by name are checked in option-checks.ts.
 */
import { UsageError } from './errors.js';
import { printableLine } from './printable.js';

/** Makes the error of a message. */
export type Failure = (message: string) => Error;

export const usageError: Failure = (message) => new UsageError(message);

/** Where a number has to lie. */
export interface Range {
  readonly min?: number | undefined;
  readonly max?: number | undefined;
  /** The ends do not count themselves. */
  readonly above?: number | undefined;
  readonly below?: number | undefined;
}

/** Whether it is finite and in the range. */
export function inRange(value: number, { min, max, above, below }: Range): boolean {
  return (
    Number.isFinite(value) &&
    (min === undefined || value >= min) &&
    (max === undefined || value <= max) &&
    (above === undefined || value > above) &&
    (below === undefined || value < below)
  );
}

/**
 * "an integer from 1 to 8", "a number of at least 0 and below 1".
 * @param kind - "a number", "an integer", "integers"
 */
export function rangeWords(kind: string, { min, max, above, below }: Range): string {
  if (min !== undefined && max !== undefined) return `${kind} from ${min} to ${max}`;
  const low =
    min !== undefined ? `of at least ${min}` : above !== undefined ? `above ${above}` : undefined;
  const high =
    max !== undefined ? `at most ${max}` : below !== undefined ? `below ${below}` : undefined;
  if (low === undefined) {
    if (high === undefined) return kind;
    return max !== undefined ? `${kind} of ${high}` : `${kind} ${high}`;
  }
  return `${kind} ${low}${high === undefined ? '' : ` and ${high}`}`;
}

/** A value in one line of a message, whatever it is. */
export function shown(value: unknown): string {
  if (typeof value === 'string') return `'${printableLine(value)}'`;
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  if (value === null || value === undefined) return String(value);
  if (Array.isArray(value)) return 'an array';
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}

/** What a check may be told besides: words that say more than the range does. */
export interface CheckWords {
  /** In place of the range, such as "the teacher's share of the loss, from 0 to 1". */
  readonly expected?: string;
  /** What to do, a sentence. */
  readonly advice?: string;
}

/** Checks of values, which they give back. */
export interface Checks {
  /** Any number but NaN and the infinities that lies in the range. */
  readonly number: (name: string, value: unknown, range?: Range, words?: CheckWords) => number;
  /** A number without fraction, below 2^53, that lies in the range. */
  readonly integer: (name: string, value: unknown, range: Range, words?: CheckWords) => number;
  readonly oneOf: <T extends string>(
    name: string,
    value: unknown,
    known: readonly T[],
    words?: CheckWords,
  ) => T;
}

/**
 * The checks of one function or interface.
 * @param where - with which messages begin
 * @param fail - makes the error. By default a UsageError.
 */
export function checksOf(where: string, fail: Failure = usageError): Checks {
  const wrong = (name: string, value: unknown, expected: string, { advice }: CheckWords) =>
    fail(
      `${where}: ${name}: got ${shown(value)}, expected ${expected}.${advice === undefined ? '' : ` ${advice}`}`,
    );
  return {
    number: (name, value, range = {}, words = {}) => {
      if (typeof value === 'number' && inRange(value, range)) return value;
      throw wrong(name, value, words.expected ?? rangeWords('a number', range), words);
    },
    integer: (name, value, range, words = {}) => {
      if (Number.isSafeInteger(value) && inRange(value as number, range)) return value as number;
      throw wrong(name, value, words.expected ?? rangeWords('an integer', range), words);
    },
    oneOf: (name, value, known, words = {}) => {
      const found = known.find((candidate) => candidate === value);
      if (found !== undefined) return found;
      throw wrong(name, value, words.expected ?? `one of ${known.join(', ')}`, words);
    },
  };
}
