/** What RSST can be told, and what it does unless told, without native code: the command line lists it. */

/**
 * l1: sum of |w| over the unit's regularised slice; group: l2 norm over all members of the unit, the norm of a group
 * lasso (Yuan and Lin 2006), under which whole units become zero.
 */
export const regNorms = ['l1', 'group'] as const;
export type RegNorm = (typeof regNorms)[number];

/** Whether all units of the targets are regularised, or those that are to go. */
export const regUnits = ['all', 'doomed'] as const;
export type RegUnits = (typeof regUnits)[number];

/**
 * loss: λ R is part of the loss and the optimizer sees its gradient.
 *
 * proximal: the optimizer sees the task's loss alone, and after each of its steps the units shrink by
 * the proximal operator of lr λ R: every norm becomes smaller by lr λ and stops at zero (Parikh and
 * Boyd 2014, section 6.5). Adam divides a gradient by its own size, so that under `loss` the pull
 * hardly depends on λ, and weights near zero jump about it by lr; neither happens here.
 *
 * shrink: the optimizer sees the task's loss alone, and after each of its steps the units are multiplied so that, left
 * to themselves, their norms go to zero along 1 - λ / λ0, exactly over the regularised epochs. Neither the
 * strength nor the learning rate has a say. Our own.
 */
export const regApplications = ['loss', 'proximal', 'shrink'] as const;
export type RegApplication = (typeof regApplications)[number];

/**
 * How hard to pull unless told. All units: 1e-4, in the loss. Doomed units alone may be
 * pulled as hard as it takes, so that they are at zero before the end of even a short training
 * (docs/results/regulariser.md), where the strength hardly matters: under p = 4 a unit is gone when t^5 reaches its
 * norm / (strength · Σ lr / 5).
 */
export function rsstDefaults(
  doomed: boolean,
  norm: RegNorm,
  apply: RegApplication = doomed ? 'proximal' : 'loss',
): { readonly apply: RegApplication; readonly strength: number } {
  // The schedule alone says how much is left.
  if (apply === 'shrink') return { apply, strength: 1 };
  if (!doomed) return { apply, strength: 1e-4 };
  if (apply === 'loss') return { apply, strength: 1 };
  // A unit's norm over all its members is some 10 to 100 times one of its weights.
  return { apply, strength: norm === 'group' ? 1000 : 100 };
}
