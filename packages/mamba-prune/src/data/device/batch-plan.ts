// Which samples make up which batch, and which of them are this worker's.
import { checksOf } from '../../checks.js';
import { dataLimits } from '../../limits.js';
import { type OptionKinds, requireOptions } from '../../option-checks.js';
import { EpochAugments } from '../augment/epoch-augments.js';
import { type EpochOptions, checkStart, epochKinds } from '../epoch-options.js';
import { DataError, dataError } from '../errors.js';
import { checkSeed, epochPermutation } from '../random.js';
import type { DatasetInfo } from '../types.js';
import type { ImageDType } from './augment-op.js';

export interface DeviceBatchOptions extends EpochOptions {
  /** Samples of one step over all workers together: a multiple of `workers`. */
  batchSize: number;
  /** Of the images; default float32. */
  dtype?: ImageDType;
  /** Number of this worker, from 0; default 0. */
  rank?: number;
  /** Workers that share each batch; default 1. */
  workers?: number;
}

const batchKinds: OptionKinds<DeviceBatchOptions & { readonly device: string }> = {
  ...epochKinds,
  dtype: 'string',
  rank: 'number',
  workers: 'number',
  // Of batches that are streamed.
  device: 'string',
};

/** Rows of one batch. */
export interface BatchRows {
  /** This worker's rows. */
  size: number;
  /** The first of them in the batch of all workers. */
  firstRow: number;
}

/** The batches of an epoch, as a pure function of (seed, epoch). */
export class BatchPlan {
  readonly batchesPerEpoch: number;
  readonly samplesPerEpoch: number;
  /** Samples of a full batch of all workers. */
  readonly globalBatch: number;
  /** Samples of this worker's largest batch. */
  readonly localBatch: number;
  readonly seed: number;
  readonly shuffle: boolean;
  readonly augments: EpochAugments;
  readonly dtype: ImageDType;
  readonly rank: number;
  readonly workers: number;

  readonly #where: string;
  readonly #length: number;

  /** @throws DataError for options out of range or an empty split */
  constructor(
    where: string,
    length: number,
    info: Pick<DatasetInfo, 'height' | 'width'>,
    options: DeviceBatchOptions,
  ) {
    this.#where = where;
    this.#length = length;
    requireOptions(where, options, batchKinds, ['batchSize'], dataError);
    const { batchSize, seed = 0, rank = 0, workers = 1, dtype = 'float32' } = options;
    const { integer, oneOf } = checksOf(where, dataError);
    integer('batchSize', batchSize, { min: 1, max: dataLimits.deviceBatch });
    integer('workers', workers, { min: 1, max: dataLimits.workers });
    integer('rank', rank, { min: 0, max: workers - 1 });
    checkSeed(where, seed);
    oneOf('dtype', dtype, ['float32', 'bfloat16', 'float16']);
    if (length === 0) throw this.error('an empty split, expected at least 1 image.');
    if (batchSize % workers !== 0) {
      throw this.error(
        `batchSize ${batchSize} for ${workers} workers, expected a multiple: all make the same ` +
          `number of rows. Choose ${Math.ceil(batchSize / workers) * workers}.`,
      );
    }
    if (options.dropLast && length < batchSize) {
      throw this.error(
        `batchSize ${batchSize} with dropLast, expected at most the split's ${length} images. ` +
          'Choose a smaller batch.',
      );
    }
    this.globalBatch = Math.min(batchSize, length);
    const exact = length / this.globalBatch;
    this.batchesPerEpoch = options.dropLast ? Math.floor(exact) : Math.ceil(exact);
    this.samplesPerEpoch = Math.min(length, this.batchesPerEpoch * this.globalBatch);
    this.localBatch = Math.ceil(this.globalBatch / workers);
    this.seed = seed;
    this.shuffle = options.shuffle ?? false;
    this.augments = new EpochAugments(options.augment, info, options.lastAugment);
    this.dtype = dtype;
    this.rank = rank;
    this.workers = workers;
  }

  /** Whether all batches have the same number of rows on every worker, as a graph needs. */
  get isEven(): boolean {
    return this.samplesPerEpoch % this.globalBatch === 0 && this.globalBatch % this.workers === 0;
  }

  /** This worker's rows of a batch; of a last batch that is not full, about its share. */
  rows(index: number): BatchRows {
    const size = Math.min(this.globalBatch, this.samplesPerEpoch - index * this.globalBatch);
    const edge = (rank: number) => Math.floor((rank * size) / this.workers);
    const firstRow = edge(this.rank);
    return { size: edge(this.rank + 1) - firstRow, firstRow };
  }

  /** Sample numbers of the epoch, [samplesPerEpoch]. */
  order(epoch: number): Uint32Array {
    const { samplesPerEpoch } = this;
    const length = this.#length;
    if (!this.shuffle) return Uint32Array.from({ length: samplesPerEpoch }, (_, i) => i);
    return epochPermutation(length, this.seed, epoch).subarray(0, samplesPerEpoch);
  }

  /** @throws DataError unless the epoch has such a batch; the end of the epoch counts as one */
  checkPlace(epoch: number, startBatch: number): void {
    checksOf(this.#where, dataError).integer('epoch', epoch, { min: 0, max: 2 ** 32 - 1 });
    checkStart(this.#where, startBatch, this.batchesPerEpoch);
  }

  error(given: string): DataError {
    return new DataError(`${this.#where}: got ${given}`);
  }
}
