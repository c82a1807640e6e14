// Whether a budget can be reached at all: found before anything is written or trained.
import { UsageError } from '../../errors.js';
import { refillCounts } from '../../pruning/refill.js';
import { checkKindSelection } from '../../pruning/select-kinds.js';
import { groupsOfKinds } from '../../pruning/select-units.js';
import { cutOptions } from './choose-round-units.js';
import { type BudgetCosts, type BudgetEntry, firstEntries, targetsOf } from './cost-budget.js';
import { amountInWords } from './cost-words.js';
import type { ResolvedPruneSettings } from './settings.js';

/**
 * The entries of a run that has not cut anything.
 * @param settings - with a budget
 * @throws UsageError for a budget out of reach, or one that the model fits already
 */
export function entriesWithinReach(
  settings: ResolvedPruneSettings,
  costs: BudgetCosts,
): BudgetEntry[] {
  const { rates, refill, rateOf, rounds, roundTo } = settings;
  const entries = firstEntries(settings, costs) ?? [];
  const targets = targetsOf(entries, settings, costs);
  const final = refill
    ? (size: number, count: number) => refillCounts(size, count, { ...refill, roundTo }).final
    : undefined;
  checkKindSelection(groupsOfKinds(costs.model, Object.keys(rates)), {
    ...cutOptions(settings, rates),
    costBudget: { targets, final, rounds },
  });
  if (rateOf === undefined || Object.values(rateOf).every((rate) => rate === 0)) {
    const over = entries.find(({ limit, before }) => before > limit);
    if (!over) {
      const has = entries.map(({ of, before }) => amountInWords(of, before)).join(' and ');
      throw new UsageError(
        `prune: the model has ${has}, which fits the budget already: there is nothing to cut. Lower the budget.`,
      );
    }
  }
  return entries;
}
