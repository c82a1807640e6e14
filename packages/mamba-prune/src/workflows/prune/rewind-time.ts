// To which time kept units go back, as people write it. Loads no native code: the command line reads it.
import { UsageError } from '../../errors.js';

/**
 * `none`: go on with the weights that the units have. `source`: those of the model that was pruned.
 * `init`, `epoch:5`: those at the start, or after 5 epochs, of the run that trained it.
 */
export type Rewind = 'none' | 'source' | 'init' | `epoch:${number}`;

/** @throws UsageError for any other text */
export function parseRewind(text: string): Rewind {
  const epoch = /^epoch:(\d{1,9})$/.exec(text)?.[1];
  // No epochs done: the start.
  if (epoch !== undefined) return Number(epoch) === 0 ? 'init' : `epoch:${Number(epoch)}`;
  if (text === 'none' || text === 'source' || text === 'init') return text;
  throw new UsageError(
    `rewind: got '${text}', expected none, source, init or epoch:E, such as epoch:5.`,
  );
}
