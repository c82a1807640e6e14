// What a budget asks for: an amount of something that a model costs, in numbers or as a share of what it costs before.
// Loads no native code.
import { shown } from '../../checks.js';
import { UsageError } from '../../errors.js';
import type { OptionKinds } from '../../option-checks.js';

/** A number, or a share of what the model costs before the cut as text: `'0.3x'`. */
export type Amount = number | `${number}x`;

/** Every one that is given has to hold. */
export interface BudgetAmounts {
  /** Multiply-accumulates of one image. */
  readonly macs?: Amount | undefined;
  /** Numbers in all parameters. */
  readonly params?: Amount | undefined;
  /** Bytes of the model's file, without what it says beside the weights. */
  readonly file?: Amount | undefined;
}

export const amountKinds: OptionKinds<BudgetAmounts> = { macs: 'any', params: 'any', file: 'any' };

/** What the amounts are called in messages and tables. */
export const budgetNames = {
  macs: 'MACs',
  params: 'parameters',
  file: 'bytes of file',
  latency: 'ms of latency',
} as const;

/**
 * The share of `0.3x`; undefined for anything else.
 * @param amount - as it was told
 */
export function shareOf(amount: unknown): number | undefined {
  const match = typeof amount === 'string' ? /^(\d+(?:\.\d+)?|\.\d+)x$/.exec(amount) : null;
  return match ? Number(match[1]) : undefined;
}

/**
 * The amount as a number.
 * @param before - what `1x` is
 * @throws UsageError if it is neither a number above 0 nor a share above 0
 */
export function limitOf(name: string, amount: Amount, before: number): number {
  checkAmount(name, amount);
  const share = shareOf(amount);
  return share === undefined ? Number(amount) : share * before;
}

/** @throws UsageError as `limitOf` */
export function checkAmount(name: string, amount: unknown): asserts amount is Amount {
  const share = shareOf(amount);
  if (
    share !== undefined ? share > 0 : typeof amount === 'number' && amount > 0 && amount < Infinity
  )
    return;
  throw new UsageError(
    `budget: ${name}: got ${shown(amount)}, expected a number above 0, or a share of the model such as 0.3x`,
  );
}
