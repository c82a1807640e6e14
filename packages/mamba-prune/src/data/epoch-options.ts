// What is told of the batches of an epoch, whether the host makes them or a device.
import type { OptionKinds } from '../option-checks.js';
import type { LastAugment } from './augment/epoch-augments.js';
import type { AugmentOptions } from './augment/options.js';
import { DataError } from './errors.js';

export interface EpochOptions {
  batchSize: number;
  /** Seeded permutation per epoch, the same on the host and on a device; default false: stored order. */
  shuffle?: boolean;
  /** Of shuffling and augmentation; default 0. */
  seed?: number;
  /** Nothing is augmented if left out (evaluation). */
  augment?: AugmentOptions;
  /** Another augmentation from an epoch on. */
  lastAugment?: LastAugment | undefined;
  /** Leaves out a last batch that is not full; default false. */
  dropLast?: boolean;
}

export const epochKinds: OptionKinds<EpochOptions> = {
  batchSize: 'number',
  shuffle: 'boolean',
  seed: 'number',
  augment: 'object',
  lastAugment: 'object',
  dropLast: 'boolean',
};

/**
 * @param batches - of the epoch; its end counts as a place
 * @throws DataError unless the epoch has such a batch
 */
export function checkStart(where: string, startBatch: number, batches: number): void {
  if (Number.isInteger(startBatch) && startBatch >= 0 && startBatch <= batches) return;
  throw new DataError(
    `${where}: got start batch ${startBatch}, expected 0 to ${batches}. ` +
      'Was the checkpoint made with another data set or batch size?',
  );
}
