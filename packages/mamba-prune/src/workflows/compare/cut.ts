// What all methods of a comparison have in common when they cut.
import type { PruneSettings } from '../prune/settings.js';

export type CompareCut = Pick<
  PruneSettings,
  | 'importance'
  | 'importanceReason'
  | 'score'
  | 'scoreBatches'
  | 'ranking'
  | 'normalize'
  | 'roundTo'
  | 'maxRate'
  | 'minWidth'
  | 'rankBy'
  | 'rateOf'
  | 'compensate'
  | 'bnBatches'
>;

/**
 * What a run is told of its cut. The dense model, of which nothing is removed, is left alone by what would cut groups of it
 * all the same, and there is nothing to make up for.
 * @param rate - 0 for the dense model
 */
export function cutAt(cut: CompareCut, rate: number): CompareCut {
  return rate > 0 ? cut : { ...cut, rateOf: undefined, compensate: undefined };
}
