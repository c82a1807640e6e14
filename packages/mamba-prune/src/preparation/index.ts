// `mamba-prune/preparation`: what a program needs to give a model the pixels it was trained on, and nothing that
// needs libtorch.
export { exifOrientation } from './exif.js';
export type { Frame } from './geometry.js';
export { frameOf, shorterSide } from './geometry.js';
export type { ModelInput, Picture } from './prepare.js';
export { prepare, rgbOfCmyk } from './prepare.js';
export type { Interpolation, Preprocessing } from './preprocessing.js';
export {
  defaultPreprocessing,
  interpolations,
  leastCropShare,
  preprocessingOf,
} from './preprocessing.js';
