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
