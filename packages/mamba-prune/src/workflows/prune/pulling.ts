/** RSST's part of a training, as the settings of a pruning run have it. */
import type { ImageModel } from '../../models/image-model.js';
import { type RsstHooks, type RsstOptions, rsstHooks } from '../../pruning/rsst/index.js';
import { wholeGroups } from './choose-round-units.js';
import type { Portion } from './portions.js';
import type { ResolvedPruneSettings } from './settings.js';

/**
 * @param units - that are pulled; all of the kinds that are pruned if undefined
 * @param portion - the epochs in which they are, of a training that goes on; by default all regularised ones
 * @returns undefined where the method is not rsst
 */
export function pullingHooks(
  { rsst, rates, rateOf }: Pick<ResolvedPruneSettings, 'rsst' | 'rates' | 'rateOf'>,
  model: ImageModel,
  units?: RsstOptions['units'],
  portion?: Portion,
): RsstHooks | undefined {
  if (!rsst) return undefined;
  const { schedule, strength, exponent, norm, apply, lrThrough } = rsst;
  const { from, until } = portion ?? { from: 0, until: rsst.epochs };
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
    ...(lrThrough && { epochs: until - from, epochsBefore: from }),
    units,
  });
}
