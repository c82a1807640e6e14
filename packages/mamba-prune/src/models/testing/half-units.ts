import type { KeptUnits } from '../groups.js';
import type { ImageModel } from '../image-model.js';

/** Every second unit of every group. */
export const halfUnits = (model: ImageModel): KeptUnits =>
  new Map(
    model
      .pruningGroups()
      .map(({ name, size }) => [
        name,
        Array.from({ length: Math.ceil(size / 2) }, (_, unit) => 2 * unit),
      ]),
  );
