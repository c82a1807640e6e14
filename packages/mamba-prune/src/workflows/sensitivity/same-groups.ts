// Whether a measurement is of a model: it has to have the groups that were cut, as wide as they were.
import { UsageError } from '../../errors.js';
import type { ImageModel } from '../../models/image-model.js';
import type { Sensitivity } from '../../pruning/sensitivity/measure.js';

/** @throws UsageError for a measurement of another model */
export function checkSameGroups(
  where: string,
  model: ImageModel,
  { parts }: Pick<Sensitivity, 'parts'>,
): void {
  const sizes = new Map(model.pruningGroups().map(({ name, size }) => [name, size]));
  for (const { groups } of parts) {
    for (const [name, size] of Object.entries(groups)) {
      const own = sizes.get(name);
      if (own === size) continue;
      const got =
        own === undefined ? 'which this model does not have' : `which has ${own} in this model`;
      throw new UsageError(
        `${where}: got a measurement of another model, with ${size} units in the group '${name}', ${got}. ` +
          'Give the file of this model, or measure it: mamba-prune sensitivity MODEL --out FILE',
      );
    }
  }
}

/**
 * Whether all groups of some kinds were measured: of a shallower model those are that it shares with this one.
 * @throws UsageError for a measurement without some of the model's groups
 */
export function checkAllGroups(
  where: string,
  model: ImageModel,
  { parts }: Pick<Sensitivity, 'parts'>,
  kinds: readonly string[],
): void {
  const measured = new Set(parts.flatMap(({ groups }) => Object.keys(groups)));
  const missing = model
    .pruningGroups()
    .find(({ kind, name }) => kinds.includes(kind) && !measured.has(name));
  if (!missing) return;
  throw new UsageError(
    `${where}: got a measurement without the group '${missing.name}', which this model has, expected all groups of the kind ` +
      `${missing.kind}. Give the file of this model, or measure it: mamba-prune sensitivity MODEL --out FILE`,
  );
}
