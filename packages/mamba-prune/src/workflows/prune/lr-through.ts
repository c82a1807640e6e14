// Whether RSST's regularised training and that after the cut are one (`lrThrough`). Loads no native code: plans of
// comparisons and the command line need it.
import type { Rewind } from './rewind-time.js';

/** Unless told otherwise, where it is possible. */
export const lrThroughDefault: boolean = false;

/**
 * @param given - what the settings of RSST say
 * @param training - `epochs` after the cut, and the weights that they begin with
 */
export function goesThrough(
  given: boolean | undefined,
  { epochs, rewind = 'none' }: { readonly epochs: number; readonly rewind?: Rewind | undefined },
): boolean {
  return given ?? (lrThroughDefault && epochs > 0 && rewind === 'none');
}
