// What a refill can be told, without native code: the command line lists it.

/** What the removed units are ranked by when some of them return. */
export const refillScoreFacts = {
  /** The scores of the first cut. */
  magnitude: { needsImages: false },
  /** The gradients of gates on the removed units, with the kept ones in place. */
  gradient: { needsImages: true },
} as const;

export type RefillScore = keyof typeof refillScoreFacts;
export const refillScores = Object.keys(refillScoreFacts) as readonly RefillScore[];

/** Whether the units that return come on top of the rate, or the first cut makes room for them. */
export const refillBudgets = ['add', 'keep'] as const;
export type RefillBudget = (typeof refillBudgets)[number];

/**
 * The fillback rate f with which, under the budget `keep`, half of the units that stay come back and half are the first
 * cut's: f (C - n / 2) = n / 2, in two digits, rounded down. With a higher one the first cut decides less than half, and
 * from about n / C on nothing.
 * @param kept - n / C, the share of a group's units that stays, above 0 and at most 1
 */
export function halvingFillback(kept: number): number {
  const exact = kept / (2 - kept);
  const digit = 10 ** (Math.floor(Math.log10(exact)) - 1);
  return Number((Math.floor(exact / digit) * digit).toPrecision(2));
}

/** What returns where nobody says how much: a tenth of the removed units, and under `keep` at most `halvingFillback`. */
export const usualFillback = (kept: number, budget: RefillBudget = 'add'): number =>
  budget === 'keep' ? Math.min(0.1, halvingFillback(kept)) : 0.1;
