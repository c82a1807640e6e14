// What a budget asks for: an amount of something that a model costs, in numbers or as a share of what it costs before.
import { shown } from '../../checks.js';
import { UsageError } from '../../errors.js';
import type { ImageModel } from '../../models/image-model.js';
import { type OptionKinds, requireOptions } from '../../option-checks.js';
import { type Widths, widthCosts } from '../../models/width-costs.js';

/** A number, or a share of what the model costs before the cut as text: `'0.3x'`. */
export type Amount = number | `${number}x`;

/** What a model costs that has these widths; groups that are not named have those of the model that is cut. */
export type WidthCost = (widths: Widths) => number;

/** One thing that is not to be exceeded. */
export interface BudgetTarget {
  /** What it is called in messages: `MACs`, `parameters`. */
  readonly name: string;
  /** The most that there may be, in the cost's own unit. */
  readonly limit: number;
  /** Never less for a wider model. */
  readonly cost: WidthCost;
}

/** Every one that is given has to hold. */
export interface BudgetAmounts {
  /** Multiply-accumulates of one image. */
  readonly macs?: Amount | undefined;
  /** Numbers in all parameters. */
  readonly params?: Amount | undefined;
  /** Bytes of the model's file, without what it says beside the weights. */
  readonly file?: Amount | undefined;
}

const amountKinds: OptionKinds<BudgetAmounts> = { macs: 'any', params: 'any', file: 'any' };

/** What the amounts are called in messages and tables. */
export const budgetNames = {
  macs: 'MACs',
  params: 'parameters',
  file: 'file bytes',
  latency: 'latency',
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

/**
 * The targets of amounts, counted exactly from the widths.
 * @param model - that is cut; shares are those of its cost, unless `first` says other widths
 * @param first - widths that shares are meant of: those that a run of several rounds began with
 * @throws UsageError for no amount, or one that is none
 */
export function budgetTargets(
  model: ImageModel,
  amounts: BudgetAmounts,
  first: Widths = {},
): BudgetTarget[] {
  requireOptions('budgetTargets', amounts, amountKinds);
  const costs = widthCosts(model);
  const nameless = { classes: [], mean: [], std: [], history: [] };
  const of = {
    macs: costs.macs,
    params: costs.parameters,
    file: (widths: Widths) => costs.fileBytes(widths, nameless),
  };
  const targets = (['macs', 'params', 'file'] as const).flatMap((key): BudgetTarget[] => {
    const amount = amounts[key];
    if (amount === undefined) return [];
    const name = budgetNames[key];
    const cost = of[key];
    return [{ name, cost, limit: limitOf(name, amount, cost(first)) }];
  });
  if (targets.length > 0) return targets;
  throw new UsageError(
    "budget: got no amount, expected macs, params or file, such as { macs: '0.3x' }.",
  );
}
