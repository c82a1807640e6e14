// Which patches a model sees of images of a size, unless it is told. Loads no native code.
import { findFamily, modelOptionNames } from './families.js';
import { usualPatch } from './usual-patch.js';

/** The patch that an architecture names; undefined for most. */
export function namedPatch(arch: string): number | undefined {
  const patch = findFamily(arch)?.architectures[arch]?.['patchSize'];
  return typeof patch === 'number' ? patch : undefined;
}

/**
 * The patch that an architecture names, where the images divide into such ones. Otherwise
 * `usualPatch`.
 * @param side - of the images, in pixels
 * @returns undefined for a model that sees no patches
 */
export function defaultPatch(arch: string, side: number): number | undefined {
  if (!modelOptionNames(arch).includes('patchSize')) return undefined;
  const own = namedPatch(arch);
  if (own !== undefined && side % own === 0) return own;
  return usualPatch(side);
}
