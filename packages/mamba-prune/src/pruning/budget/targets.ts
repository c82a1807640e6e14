// The targets of a budget: what is not to be exceeded, and how it is counted from widths.
import { UsageError } from '../../errors.js';
import type { ImageModel } from '../../models/image-model.js';
import { requireOptions } from '../../option-checks.js';
import { type Widths, widthCosts } from '../../models/width-costs.js';
import { type BudgetAmounts, amountKinds, budgetNames, limitOf } from './amounts.js';

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
