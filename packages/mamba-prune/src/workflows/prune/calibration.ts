// Real images for the scores that need them.
import { scope } from '@mamba-prune/libtorch';
import { checksOf } from '../../checks.js';
import { BatchLoader } from '../../data/loader.js';
import { requireDevice } from '../../device-check.js';
import { requireDataset } from '../../data/require-dataset.js';
import type { Dataset } from '../../data/types.js';
import { type OptionKinds, checkOptions } from '../../option-checks.js';
import type { Calibration } from '../../pruning/calibration.js';
import { defaultScoreBatches } from '../../pruning/importances.js';
import { limitSplit, toTensors } from '../../training/batches.js';

/** Images per batch. */
export const calibrationBatch = 64;

export interface CalibrationOptions {
  /** At most so many batches of 64 images. Default `8`. */
  readonly batches?: number;
  /** Of the choice of images. Default `0`. */
  readonly seed?: number;
  /** Where the model is. Default `cpu`. */
  readonly device?: string;
  /** Training images that may be used at all. All by default. */
  readonly maxImages?: number | null | undefined;
  /** Its reason is thrown between two batches. */
  readonly signal?: AbortSignal | undefined;
  /** Batches that were given out, and of how many, in each pass. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

const calibrationKinds: OptionKinds<CalibrationOptions> = {
  batches: 'number',
  seed: 'number',
  device: 'string',
  maxImages: 'any',
  signal: 'object',
  onProgress: 'function',
};

/**
 * Images of the training split, evenly over the classes, normalised as the data set says and not
 * augmented. Every pass gives the same batches.
 * @throws UsageError for options out of range; DataError for what is no data set, or one without training images
 */
export function calibrationOf(dataset: Dataset, options: CalibrationOptions = {}): Calibration {
  requireDataset('calibrationOf', dataset);
  checkOptions('calibrationOf', options, calibrationKinds);
  requireDevice('calibrationOf', options.device);
  const { batches = defaultScoreBatches, seed = 0, device = 'cpu' } = options;
  const { maxImages = null, signal, onProgress } = options;
  const { integer } = checksOf('calibrationOf');
  integer('batches', batches, { min: 1 });
  integer('seed', seed, { min: 0 });
  if (maxImages !== null) integer('maxImages', maxImages, { min: 1 });
  const { train, info } = dataset;
  const usable = limitSplit(train, maxImages, seed);
  const split = limitSplit(usable, batches * calibrationBatch, seed);
  // Shuffled, for splits may be stored class by class.
  const loader = new BatchLoader(split, info, { batchSize: calibrationBatch, shuffle: true, seed });
  const total = Math.ceil(split.length / calibrationBatch);
  return async function* () {
    let done = 0;
    for await (const batch of loader.epoch(0)) {
      signal?.throwIfAborted();
      const { images, labels } = scope(() => toTensors(batch, info, device));
      yield { images, labels };
      // Back here the batch has been used.
      onProgress?.(++done, total);
    }
  };
}
