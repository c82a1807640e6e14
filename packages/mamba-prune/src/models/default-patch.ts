// Which patches a model sees of images of a size, unless it is told. Loads no native code.
import { findFamily, modelOptionNames } from './families.js';

/** The patch that an architecture names; undefined for most. */
export function namedPatch(arch: string): number | undefined {
  const patch = findFamily(arch)?.architectures[arch]?.['patchSize'];
  return typeof patch === 'number' ? patch : undefined;
}

/**
 * The patch that an architecture names, where the images divide into such ones. Otherwise one that leaves 49 to 256
 * patches: 4 up to 40 px as on CIFAR, 8 up to 128 px, 16 beyond as on ImageNet.
 * @param side - of the images, in pixels
 * @returns undefined for a model that sees no patches
 */
export function defaultPatch(arch: string, side: number): number | undefined {
  if (!modelOptionNames(arch).includes('patchSize')) return undefined;
  const own = namedPatch(arch);
  if (own !== undefined && side % own === 0) return own;
  if (side <= 40) return 4;
  return side <= 128 ? 8 : 16;
}
