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
