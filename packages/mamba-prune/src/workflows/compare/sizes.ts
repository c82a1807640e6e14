// The sizes that a comparison is asked for: as rates, or as amounts of a budget, which are rates once the dense model is known.
import { shown } from '../../checks.js';
import { UsageError } from '../../errors.js';
import { type Amount, checkAmount, shareOf } from '../../pruning/budget/amounts.js';
import { costsOf } from '../prune/cost-budget.js';
import { amountInWords } from '../prune/cost-words.js';
import {
  type CompareBudget,
  type CompareSizes,
  type RateAmount,
  amountText,
  checkBudget,
  compareBudgets,
  rateOfShare,
} from './budget.js';
import type { Examined } from './examine.js';
import type { RateSeeds } from './seeds.js';
import type { CompareSettings } from './settings.js';

/** Seeds of one size that has others than the rest: `{ rate: 0.7 }`, or of a budget `{ amount: 3e6 }` or `{ amount: '0.3x' }`. */
export type SizeSeeds = RateSeeds | { readonly amount: Amount; readonly seeds: readonly number[] };

/** What is asked for. */
export interface SizesAsked {
  /** Shares to remove of every kind, or of `budget`; each is compared on its own. */
  readonly rates?: readonly number[] | undefined;
  readonly budget?: CompareBudget | undefined;
  /**
   * In place of `rates` what of the budget is left: numbers in its own unit (MACs of one image, parameters, bytes of the file),
   * or shares of the dense model such as `'0.3x'`.
   */
  readonly amounts?: readonly Amount[] | undefined;
  readonly seedsAt?: readonly SizeSeeds[] | undefined;
}

type Sizes = Pick<CompareSettings, 'rates' | 'amountsAt' | 'seedsAt'>;

/** What amounts are before a model is known: absolute ones have no rate yet. @throws UsageError unless sizes are given once */
export function checkSizes({ rates, budget, amounts, seedsAt = [] }: SizesAsked): void {
  if (rates !== undefined && amounts !== undefined) {
    throw new UsageError(
      'compare: got `rates` and `amounts`, expected one of the two: amounts say what is left, rates what is removed. Leave one of them out.',
    );
  }
  if (rates === undefined && amounts === undefined) {
    throw new UsageError(
      'compare: got no `rates`, expected shares to remove such as 0.7, or a `budget` with `amounts`.',
    );
  }
  const bad = seedsAt.find((at) => 'amount' in at === 'rate' in at);
  if (bad !== undefined) {
    throw new UsageError(
      `compare: \`seedsAt\`: got ${shown(bad)}, expected seeds with either a rate or an amount, such as { rate: 0.7, seeds: [0, 1] }.`,
    );
  }
  if (amounts === undefined) return;
  checkBudget(budget);
  if (budget === undefined) {
    throw new UsageError(
      `compare: got amounts without a \`budget\`, expected one of ${Object.keys(compareBudgets).join(', ')}: what they are amounts of.`,
    );
  }
  for (const amount of amounts) {
    checkAmount(compareBudgets[budget], amount);
    const share = shareOf(amount) ?? 0;
    if (share < 1) continue;
    throw new UsageError(
      `compare: got the budget ${amount}, expected a share below 1x: the dense model itself is compared anyway.`,
    );
  }
}

/**
 * The sizes as rates.
 * @param begun - of the comparison that is gone on with, whose amounts keep their rates: what a file takes is a little
 *   different in another version
 * @throws UsageError for an amount that the dense model does not exceed, two that are the same, or seeds of a size that is not compared
 */
export function resolveSizes(
  { rates, budget, amounts = [], seedsAt }: SizesAsked,
  costs: Pick<Examined, 'model' | 'info'>,
  begun: (CompareSizes & Partial<Pick<CompareSettings, 'rates'>>) | undefined,
): Sizes {
  const known = begun?.budget === budget ? begun : undefined;
  const found: RateAmount[] = [];
  const rateOf = (amount: Amount): number => {
    const share = shareOf(amount);
    if (share !== undefined || budget === undefined) return rateOfShare(share ?? NaN);
    const before = known?.amountsAt?.find((at) => at.amount === amount);
    const rate = before?.rate ?? rateOfAmount(budget, Number(amount), costs);
    // As a share it may be there already, and is called by that one then.
    if (before || known?.rates?.includes(rate) !== true) {
      found.push({ rate, amount: Number(amount) });
    }
    return rate;
  };
  const resolved = rates ?? amounts.map(rateOf);
  const twice = rates ? -1 : resolved.findIndex((rate, i) => resolved.indexOf(rate) < i);
  if (twice > 0 && budget !== undefined) {
    const [first, second] = [resolved.indexOf(resolved[twice] as number), twice].map((i) =>
      amountText(budget, amounts[i] as Amount),
    );
    throw new UsageError(
      `compare: got the budgets ${first ?? ''} and ${second ?? ''}, which are the same size of this model. Leave one of them out.`,
    );
  }
  const ofSeeds = (amount: Amount): number => {
    const at =
      typeof amount === 'string' ? undefined : found.find((each) => each.amount === amount);
    const rate = at?.rate ?? rateOfShare(shareOf(amount) ?? NaN);
    if (budget !== undefined && resolved.includes(rate)) return rate;
    const sizes =
      budget === undefined
        ? resolved.join(', ')
        : amounts.map((each) => amountText(budget, each)).join(', ');
    throw new UsageError(
      `compare: got seeds at ${budget === undefined ? amount : amountText(budget, amount)}, expected one of the sizes that are ` +
        `compared: ${sizes}. Change \`seedsAt\`, or compare that size too.`,
    );
  };
  return {
    rates: resolved,
    ...(found.length > 0 && { amountsAt: found }),
    seedsAt: seedsAt?.map((at) =>
      'amount' in at ? { rate: ofSeeds(at.amount), seeds: at.seeds } : at,
    ),
  };
}

function rateOfAmount(
  budget: CompareBudget,
  amount: number,
  { model, info }: Pick<Examined, 'model' | 'info'>,
): number {
  const dense = costsOf(model, info)[budget]();
  const rate = rateOfShare(amount / dense);
  if (rate > 0 && rate < 1) return rate;
  if (rate >= 1) {
    throw new UsageError(
      `compare: got the budget ${amountText(budget, amount)}, which is nothing of the dense model's ${amountInWords(budget, dense)}. Raise the budget.`,
    );
  }
  throw new UsageError(
    `compare: the dense model has ${amountInWords(budget, dense)}, which fits the budget ${amountText(budget, amount)} already: ` +
      'there is nothing to cut. Lower the budget.',
  );
}
