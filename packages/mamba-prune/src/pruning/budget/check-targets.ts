// A budget as the library is told it, from JavaScript too.
import { shown } from '../../checks.js';
import { UsageError } from '../../errors.js';
import type { PruningGroup } from '../../models/groups.js';
import type { ImageModel } from '../../models/image-model.js';
import type { Widths } from '../../models/width-costs.js';
import { type OptionKinds, requireOptions } from '../../option-checks.js';
import { type BudgetAmounts, amountKinds } from './amounts.js';
import type { CostBudget } from './solve.js';
import { type BudgetTarget, budgetTargets } from './targets.js';

const budgetKinds: OptionKinds<CostBudget> = {
  targets: 'array',
  part: 'number',
  final: 'function',
  rounds: 'number',
};

/**
 * @param groups - that are cut
 * @throws UsageError for a budget without targets, or a target that cannot be counted
 */
export function checkTargets(groups: readonly PruningGroup[], budget: CostBudget): void {
  requireOptions('costBudget', budget, budgetKinds, ['targets']);
  if (budget.targets.length === 0) {
    throw new UsageError(
      'costBudget: got no targets, expected at least one, such as those of budgetTargets.',
    );
  }
  const now = Object.fromEntries(groups.map(({ name, size }) => [name, size]));
  budget.targets.forEach((target, at) => {
    checkTarget(target, at, now);
  });
}

function checkTarget(
  target: Partial<BudgetTarget> | null | undefined,
  at: number,
  widths: Widths,
): void {
  const { name, limit, cost } = target ?? {};
  const fail = (got: string, expected: string) =>
    new UsageError(
      `costBudget: targets[${at}]${name === undefined ? '' : ` (${name})`}: got ${got}, expected ${expected}.`,
    );
  if (typeof cost !== 'function') {
    throw fail(`the cost ${shown(cost)}`, 'a function from the widths of groups to a number');
  }
  if (!(typeof limit === 'number' && limit > 0)) {
    throw fail(`the limit ${shown(limit)}`, 'a number above 0');
  }
  const now: unknown = cost(widths);
  if (typeof now === 'number' && Number.isFinite(now)) return;
  throw fail(`${shown(now)} as the cost of the model`, 'a number');
}

/** Amounts as the targets that they are of this model; targets as they are. */
export function asTargets(model: ImageModel, budget: CostBudget | BudgetAmounts): CostBudget {
  const isAmounts = Object.keys(budget).some((name) => Object.hasOwn(amountKinds, name));
  // What is neither is left for the checks to refuse.
  return isAmounts
    ? { targets: budgetTargets(model, budget as BudgetAmounts) }
    : (budget as CostBudget);
}
