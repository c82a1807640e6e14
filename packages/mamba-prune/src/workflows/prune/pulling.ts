/** RSST's part of a training, as the settings of a pruning run have it. */
import type { ImageModel } from '../../models/image-model.js';
import { type RsstHooks, type RsstOptions, rsstHooks } from '../../pruning/rsst/index.js';
import { wholeGroups } from './choose-round-units.js';
import type { ResolvedPruneSettings } from './settings.js';

/**
 * @param units - that are pulled; all of the kinds that are pruned if undefined
 * @returns undefined where the method is not rsst
 */
export function pullingHooks(
  { rsst, rates, rateOf }: Pick<ResolvedPruneSettings, 'rsst' | 'rates' | 'rateOf'>,
  model: ImageModel,
  units?: RsstOptions['units'],
): RsstHooks | undefined {
  if (!rsst) return undefined;
  const { schedule, strength, exponent, norm, apply, lrThrough, epochs } = rsst;
  // What stays whole is not to be shrunk; chosen units are none of its.
  const whole = units ? [] : wholeGroups({ rateOf });
  const groups = model.pruningGroups().filter(({ name }) => !whole.includes(name));
  const left = new Set(groups.map(({ kind }) => kind));
  return rsstHooks(model, groups, {
    schedule,
    strength,
    exponent,
    norm,
    apply,
    targets: Object.keys(rates).filter((kind) => units !== undefined || left.has(kind)),
    ...(lrThrough && { epochs }),
    units,
  });
}
