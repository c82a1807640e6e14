/**
 * Data sets: images with labels, batches of them on the host and on a device, and augmentation.
 *
 * @module mamba-prune/data
 */
export type { Sampling } from './augment/geometry.js';
export type { AugmentOptions, AugmentPreset, ResolvedAugment } from './augment/options.js';
export { augmentPreset, augmentPresetNames } from './augment/options.js';
export type { LastAugment } from './augment/epoch-augments.js';
export type { Batch } from './batch.js';
export { defaultCacheDir } from './cache.js';
export type { DatasetRecipe, ModelHints } from './dataset-recipe.js';
export {
  datasetNames,
  downloadDataset,
  openDataset,
  registerDataset,
  verifyDataset,
} from './datasets.js';
export type { DatasetDefinition, DatasetDownload, DownloadDatasetOptions } from './definition.js';
export type { ImageDType } from './device/augment-op.js';
export type { DeviceBatchOptions } from './device/batch-plan.js';
export { DeviceBatches } from './device/device-batches.js';
export type { UploadOptions } from './device/device-split.js';
export { DeviceSplit } from './device/device-split.js';
export type { DeviceBatch, DeviceBatchSource } from './device/types.js';
export type { DownloadOptions, DownloadProgress } from '../files/download.js';
export type { EpochOptions } from './epoch-options.js';
export { DataError } from './errors.js';
export type { BatchLoaderOptions } from './loader.js';
export { BatchLoader } from './loader.js';
export { MemorySplit } from './memory-split.js';
export { readImage } from './read-image.js';
export type {
  CropResize,
  Dataset,
  DatasetInfo,
  ImageSplit,
  NoteHandler,
  OpenDatasetOptions,
  OpenedDataset,
  RandomCrop,
  VerifyReport,
} from './types.js';
