// Sizes of a comparison that are given as budgets: a rate then is the share of a cost that is removed, not of the units.
import { UsageError } from '../../errors.js';
import type { Amount } from '../../pruning/budget/amounts.js';
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

/** A rate that was asked for as an amount of the cost, such as 3 million MACs: it is what the dense model makes of it. */
export interface RateAmount {
  readonly rate: number;
  /** In the cost's own unit: MACs of one image, parameters, or bytes of the file. */
  readonly amount: number;
}

/** By what a comparison is cut. */
export interface CompareSizes {
  /** Rates are shares of this cost of the whole model, which cuts of these kinds remove. By default of the units. */
  readonly budget?: CompareBudget | undefined;
  /** Of a budget: the rates that were asked for as amounts. */
  readonly amountsAt?: readonly RateAmount[] | undefined;
}

/** What is left at a rate of a budget, as it was asked for: 3000000 or `0.3x`. */
export const askedAt = ({ amountsAt = [] }: CompareSizes, rate: number): Amount =>
  amountsAt.find((at) => at.rate === rate)?.amount ?? amountAt(rate);

/** What a method is cut to at a rate, with the tolerance of every pruning run: the most that is not above it. */
export const costBudgetAt = (
  budget: CompareBudget,
  rate: number,
  sizes: CompareSizes,
): CostBudgetSettings => ({ [budget]: askedAt(sizes, rate) });

const units: Readonly<Record<CompareBudget, Readonly<Record<string, number>>>> = {
  macs: { G: 1e9, M: 1e6, K: 1e3, '': 1 },
  params: { G: 1e9, M: 1e6, K: 1e3, '': 1 },
  file: { GiB: 2 ** 30, GB: 1e9, MiB: 2 ** 20, MB: 1e6, KiB: 2 ** 10, KB: 1e3, '': 1 },
};

/** An amount as it is typed, exact and as short as it can be: `3M`, `1.5M`, `4MiB`, `0.3x`. Names of runs have it. */
export function amountText(budget: CompareBudget, amount: Amount): string {
  if (typeof amount === 'string') return amount;
  const texts = Object.entries(units[budget]).flatMap(([unit, factor]) => {
    const number = Number((amount / factor).toPrecision(15));
    // Numbers below a millionth are written with an exponent, which is not how they are typed.
    const isExact = number >= 1e-6 && Number((number * factor).toPrecision(15)) === amount;
    return isExact ? [`${number}${unit}`] : [];
  });
  const [first = String(amount), ...others] = texts;
  return others.reduce((a, b) => (b.length < a.length ? b : a), first);
}

/** For messages, as it is asked for: `rate 0.7`, or under a budget `size 0.3x of the MACs` or `size 3M MACs`. */
export function sizeInWords(sizes: CompareSizes, rate: number): string {
  const { budget } = sizes;
  if (budget === undefined) return `rate ${rate}`;
  const asked = askedAt(sizes, rate);
  const of = typeof asked === 'string' ? 'of the ' : '';
  return `size ${amountText(budget, asked)} ${of}${compareBudgets[budget]}`;
}

/** @throws UsageError for a word that is none of a budget */
export function checkBudget(budget: string | undefined): void {
  if (budget === undefined || Object.hasOwn(compareBudgets, budget)) return;
  throw new UsageError(
    `compare: got the budget ${JSON.stringify(budget)}, expected one of ${Object.keys(compareBudgets).join(', ')}.`,
  );
}
