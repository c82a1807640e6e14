// Sizes of a comparison that are given as budgets: a rate then is the share of a cost that is removed, not of the units.
import { UsageError } from '../../errors.js';
import type { CostBudgetSettings } from '../prune/cost-budget-settings.js';

/** What may be given in place of shares of units, and what it is called in tables. */
export const compareBudgets = {
  macs: 'MACs',
  params: 'parameters',
  file: 'bytes of file',
} as const;
export type CompareBudget = keyof typeof compareBudgets;

/** Sums such as 1 - 0.9 must not become names of runs. */
const digits = 12;

/** The rate of a budget: that of `0.3x` is 0.7. */
export const rateOfShare = (share: number): number => Number((1 - share).toFixed(digits));

/** The share of a cost that is left at a rate: at 0.7 `0.3x`. */
export const amountAt = (rate: number): `${number}x` => `${Number((1 - rate).toFixed(digits))}x`;

/** What a method is cut to at a rate, with the tolerance of every pruning run: the most that is not above it. */
export const costBudgetAt = (budget: CompareBudget, rate: number): CostBudgetSettings => ({
  [budget]: amountAt(rate),
});

/** @throws UsageError for a word that is none of a budget */
export function checkBudget(budget: string | undefined): void {
  if (budget === undefined || Object.hasOwn(compareBudgets, budget)) return;
  throw new UsageError(
    `compare: got the budget ${JSON.stringify(budget)}, expected one of ${Object.keys(compareBudgets).join(', ')}.`,
  );
}
