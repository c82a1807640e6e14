// Settings of a pruning that earlier versions wrote under other names: a run that began with them is gone on with.
import { renamed, todaysValue } from '../../pruning/earlier-names.js';

/** Of `rsst`: what `units` was called. */
const earlierRsst = { scope: 'units' } as const;

/**
 * The same settings with the names of today: of a run, of what all methods of a comparison have in common, or of a
 * step in a model's history. Anything that is no settings comes back as it is.
 */
export function todaysSettings<T>(settings: T): T {
  const today = renamed(settings, {});
  if (typeof today !== 'object' || today === null || !('rsst' in today)) return today;
  const rsst = renamed(today.rsst, earlierRsst);
  return rsst === today.rsst ? today : { ...today, rsst };
}

/** What scores were measured by, as importance/round-j.json has it: `l1 of consumer`. */
export const todaysMeasure = (measure: string): string => {
  const [importance, score] = measure.split(' of ');
  return score === undefined ? measure : `${importance ?? ''} of ${todaysValue('score', score)}`;
};
