// Real images for the scores that need them.
import { scope } from '@mamba-prune/libtorch';
import { BatchLoader } from '../../data/loader.js';
import type { Dataset } from '../../data/types.js';
import type { Calibration } from '../../pruning/calibration.js';
import { limitSplit, toTensors } from '../../training/batches.js';

/** Images per batch. */
export const calibrationBatch = 64;

export interface CalibrationOptions {
  /** At most so many batches. */
  readonly batches: number;
  /** Of the choice of images. */
  readonly seed: number;
  /** Where the model is. */
  readonly device: string;
  /** Training images that may be used at all. All by default. */
  readonly maxImages?: number | null | undefined;
  /** Its reason is thrown between two batches. */
  readonly signal?: AbortSignal | undefined;
  /** Batches that were given out, and of how many, in each pass. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

/**
 * Images of the training split, evenly over the classes, normalised as the data set says and not
 * augmented. Every pass gives the same batches.
 */
export function calibrationOf(
  { train, info }: Dataset,
  { batches, seed, device, maxImages, signal, onProgress }: CalibrationOptions,
): Calibration {
  const usable = limitSplit(train, maxImages ?? null, seed);
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
