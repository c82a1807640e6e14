// Whether RSST's regularised training and that after the cut are one (`lrThrough`). Loads no native code: plans of
// comparisons and the command line need it.
import type { RegUnits } from '../../pruning/rsst/choices.js';
import type { Rewind } from './rewind-time.js';

/** Of doomed units, in runs that begin from now on and are not told otherwise, where it is possible. */
export const lrThroughDefault: boolean = false;

/** What help says of it. @param byDefault - for tests */
export const throughInWords = (byDefault = lrThroughDefault): string =>
  byDefault ? 'on for doomed units that are trained after the cut, without a rewind' : 'off';

interface Through {
  readonly units?: RegUnits | undefined;
  readonly lrThrough?: boolean | undefined;
}

export interface ThroughInputs {
  /** After the cut. */
  readonly epochs: number;
  readonly rewind?: Rewind | undefined;
  /** What the settings of a run hold that is gone on with: it keeps what it began with, whatever the default is now. */
  readonly begun?: Through | undefined;
  readonly byDefault?: boolean;
}

/**
 * The settings of RSST as a run stores them: with the default where it is taken, so that another default in a later
 * version changes nothing of the run. Settings that say it themselves are returned as they are.
 */
export function decideThrough<R extends Through>(
  rsst: R,
  { epochs, rewind = 'none', begun, byDefault = lrThroughDefault }: ThroughInputs,
): R {
  if (rsst.lrThrough !== undefined) return rsst;
  if (!byDefault) return rsst;
  const lrThrough = begun
    ? begun.lrThrough === true
    : rsst.units === 'doomed' && epochs > 0 && rewind === 'none';
  return lrThrough ? { ...rsst, lrThrough } : rsst;
}
