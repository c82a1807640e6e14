// How much Refill gives back at each rate of a comparison.
import { usualFillback } from '../../pruning/refill-choices.js';
import type { RefillSettings } from '../prune/settings.js';

export interface RateFillback {
  readonly rate: number;
  readonly fillback: number;
}

/** What a comparison is told. */
export interface RefillRequest extends Omit<RefillSettings, 'fillback'> {
  /**
   * Share of the removed units that returns, at every rate. By default a tenth, and at rates where that would leave less
   * than half of the choice to the first cut as much less as leaves it half.
   */
  readonly fillback?: number | undefined;
}

/** What a comparison stores. */
export interface CompareRefill extends RefillRequest {
  /** What the default comes to, so that another default in a later version changes nothing of the comparison. */
  readonly fillbackAt?: readonly RateFillback[] | undefined;
}

/** What earlier versions had at every rate unless they were told otherwise. */
const earlierDefault = 0.1;

export const fillbackOf = ({ fillback, fillbackAt, budget }: CompareRefill, rate: number): number =>
  fillback ??
  fillbackAt?.find((at) => at.rate === rate)?.fillback ??
  usualFillback(1 - rate, budget);

/**
 * The settings of Refill as a comparison stores them.
 * @param begun - those of a comparison that is gone on with
 */
export function decideFillback(
  refill: RefillRequest,
  rates: readonly number[],
  begun: CompareRefill | undefined,
): CompareRefill {
  if (refill.fillback !== undefined) return refill;
  if (begun?.fillback === earlierDefault) return { ...refill, fillback: earlierDefault };
  const known = { ...refill, fillbackAt: begun?.fillbackAt };
  return {
    ...refill,
    fillbackAt: rates.map((rate) => ({ rate, fillback: fillbackOf(known, rate) })),
  };
}
