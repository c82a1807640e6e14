// What a pruning run is told of its budget, and what can be wrong with it before any model is loaded.
import { shown } from '../../checks.js';
import { UsageError } from '../../errors.js';
import { requireOptions } from '../../option-checks.js';
import {
  type Amount,
  type BudgetAmounts,
  budgetNames,
  checkAmount,
} from '../../pruning/budget/amounts.js';

/** What the pruned model may cost at most; all that are given have to hold. */
export interface CostBudgetSettings extends BudgetAmounts {
  /** Bytes of the model's file, or a share of those of the file that is pruned, written by us. */
  readonly file?: Amount | undefined;
  /** On this machine, as the run computes. */
  readonly latency?: LatencyBudget | undefined;
}

export interface LatencyBudget {
  /** Milliseconds for one batch, or a share of what the model takes before. */
  readonly ms: Amount;
  /** Images in the batch. */
  readonly batch: number;
}

/** In the order in which they are listed. */
export const budgetKeys = ['macs', 'params', 'file', 'latency'] as const;
export type BudgetKey = (typeof budgetKeys)[number];

/** The amount that is asked for. */
export const askedOf = (budget: CostBudgetSettings, key: BudgetKey): Amount | undefined =>
  key === 'latency' ? budget.latency?.ms : budget[key];

interface BudgetContext {
  readonly costBudget?: CostBudgetSettings | undefined;
  readonly rates: Readonly<Record<string, number>>;
  readonly perRound: boolean;
  readonly rsst: { readonly nearZero: number | null } | undefined;
}

/** @throws UsageError for amounts that are none, or settings that do not go with a budget */
export function checkCostBudget({ costBudget, rates, perRound, rsst }: BudgetContext): void {
  if (costBudget === undefined) return;
  requireOptions('prune: costBudget', costBudget, {
    macs: 'any',
    params: 'any',
    file: 'any',
    latency: 'object',
  });
  const asked = budgetKeys.filter((key) => askedOf(costBudget, key) !== undefined);
  if (asked.length === 0) {
    throw new UsageError(
      "prune: got a budget without an amount, expected macs, params, file or latency, such as macs: '0.3x'.",
    );
  }
  for (const key of asked) checkAmount(budgetNames[key], askedOf(costBudget, key));
  const batch = costBudget.latency?.batch ?? 1;
  if (!Number.isSafeInteger(batch) || batch < 1) {
    throw new UsageError(
      `prune: budget: got the batch ${shown(batch)} of a latency, expected a number of images of at least 1.`,
    );
  }
  const rate = Object.entries(rates).find(([, value]) => value !== 0);
  if (rate) {
    throw new UsageError(
      `prune: got the rate ${rate[1]} of ${rate[0]} and a budget, expected one of the two: the budget decides the rates.`,
    );
  }
  if (perRound) {
    throw new UsageError(
      'prune: got `perRound` with a budget, expected rates: the last of the rounds ends at the budget. Leave `perRound` out.',
    );
  }
  if (rsst?.nearZero == null) return;
  throw new UsageError(
    'prune: got `nearZero` with a budget, expected one of the two: `nearZero` deletes as many units as there are. ' +
      'Leave one of them out.',
  );
}
