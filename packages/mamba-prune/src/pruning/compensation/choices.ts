// What compensation can be told, without native code: the command line lists it.

/** What the kept units are to give their reader back, and what helps to say so. */
export const compensationTargets = {
  stream: "what the residual stream has lost up to here, from the pruned model's own kept units",
  asymmetric: 'the same, but only what this layer gives less',
  fold: 'the removed units from the kept ones, all as in the dense model: one pass in all',
} as const;

export type CompensationTarget = keyof typeof compensationTargets;

export const compensationTargetNames = Object.keys(
  compensationTargets,
) as readonly CompensationTarget[];

export const defaultCompensationTarget = 'stream' satisfies CompensationTarget;

/**
 * By what a correction is judged on the images held out. `divergence`: of the model's class probabilities from the dense
 * one's. `error`: of what the corrected layer gives.
 */
export const compensationJudges = ['divergence', 'error'] as const;
export type CompensationJudge = (typeof compensationJudges)[number];

/** Images that a compensation works with where nobody says how many. */
export const defaultCompensationImages = 2048;

/** Fewer leave nothing to judge by: every `heldOutEvery`-th image is held out. */
export const fewestCompensationImages = 10;
export const heldOutEvery = 5;

/** Ridges that are tried, as shares of the mean diagonal of the normal equations. */
export const usualRidges = [1e-4, 1e-3, 1e-2, 1e-1, 1] as const;

/** Shares of a correction that are tried, one after the other for as long as it gets better. */
export const dampings = [1, 0.75, 0.5, 0.25] as const;
