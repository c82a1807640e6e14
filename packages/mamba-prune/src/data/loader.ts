import { existsSync } from 'node:fs';
import { setImmediate as turn } from 'node:timers/promises';
import { checksOf } from '../checks.js';
import { type OptionKinds, requireOptions } from '../option-checks.js';
import { requireSplit } from './require-dataset.js';
import { type Batch, type BatchJob, BatchMaker, type BatchRecipe } from './batch.js';
import { checkedSplit, ofDataset } from './checked-split.js';
import { PlainBatches } from './plain-batches.js';
import { BatchThreads } from './batch-threads.js';
import { type EpochOptions, checkStart, epochKinds } from './epoch-options.js';
import { DataError, dataError } from './errors.js';
import { checkSeed, epochPermutation } from './random.js';
import type { DatasetInfo, ImageSplit } from './types.js';

export interface BatchLoaderOptions extends EpochOptions {
  /** Gives this worker's share of every batch, which may be empty; default: all of it. */
  share?: { readonly rank: number; readonly workers: number };
  /** Batches in the making ahead of the one in use; default 2. Data in memory without threads: 0. */
  prefetch?: number;
  /**
   * Threads of Node.js that augment and normalise; default 0: the main thread does it. The bits are the same. Images that
   * are read from files and only mirrored need neither: the addon's threads that decode them finish them too.
   */
  threads?: number;
  /** The compiled thread script, if the package is bundled into one file. */
  threadFile?: URL;
}

const loaderKinds: OptionKinds<BatchLoaderOptions> = {
  ...epochKinds,
  prefetch: 'number',
  share: 'object',
  threads: 'number',
  threadFile: 'object',
};

/**
 * Batches of a split, in an order and with augmentations that are a pure function of (seed, epoch,
 * sample): `epoch(e, k)` gives the same bits as `epoch(e)` after k batches.
 */
export class BatchLoader {
  readonly batchesPerEpoch: number;
  /** Samples in a whole epoch. */
  readonly samplesPerEpoch: number;
  readonly #batchSize: number;
  readonly #shuffle: boolean;
  readonly #seed: number;
  readonly #prefetch: number;
  readonly #share: BatchLoaderOptions['share'];
  readonly #maker: BatchMaker;
  readonly #plain: PlainBatches;
  /** Started by the first batch that needs them. */
  readonly #newThreads: (() => BatchThreads) | undefined;
  #threads: BatchThreads | undefined;
  /** Pixels of batches that were given back. */
  readonly #spare: Float32Array[] = [];

  readonly #split: ImageSplit;

  /** @throws DataError for options out of range or an empty split */
  constructor(split: ImageSplit, info: DatasetInfo, options: BatchLoaderOptions) {
    requireSplit('BatchLoader', split, info);
    this.#split = checkedSplit(ofDataset(info), split, info);
    requireOptions('BatchLoader', options, loaderKinds, ['batchSize'], dataError);
    const { batchSize, shuffle = false, seed = 0, prefetch = 2, threads = 0 } = options;
    const { integer } = checksOf('BatchLoader', dataError);
    integer('batchSize', batchSize, { min: 1 });
    integer('prefetch', prefetch, { min: 0 });
    integer('threads', threads, { min: 0 });
    checkSeed('BatchLoader', seed);
    if (split.length === 0) {
      throw new DataError('BatchLoader: got an empty split, expected at least 1 image.');
    }
    const exact = split.length / batchSize;
    this.batchesPerEpoch = options.dropLast ? Math.floor(exact) : Math.ceil(exact);
    if (this.batchesPerEpoch === 0) {
      throw new DataError(
        `BatchLoader: got batchSize ${batchSize} with dropLast, expected at most the split's ` +
          `${split.length} images. Choose a smaller batch.`,
      );
    }
    this.samplesPerEpoch = Math.min(split.length, this.batchesPerEpoch * batchSize);
    this.#batchSize = batchSize;
    this.#shuffle = shuffle;
    this.#seed = seed;
    this.#prefetch = prefetch;
    this.#share = options.share;
    const { channels, height, width, mean, std } = info;
    const recipe: BatchRecipe = {
      info: { channels, height, width, mean, std, classes: info.classes.length },
      augment: options.augment,
      lastAugment: options.lastAugment,
      seed,
      // Cut from the full picture while decoding where the split can: sharper and cheaper.
      cropped: split.readCropped !== undefined,
    };
    this.#maker = new BatchMaker(recipe); // checks the augment options, with threads too
    this.#plain = new PlainBatches(recipe, this.#maker.augments);
    if (threads > 0) {
      const file = options.threadFile ?? new URL('./batch-worker.js', import.meta.url);
      if (!existsSync(file)) {
        throw new DataError(
          `BatchLoader: the thread script ${file.pathname} does not exist, expected the compiled ` +
            'package. Run "npm run build", or set threads to 0.',
        );
      }
      this.#newThreads = () => new BatchThreads(threads, recipe, file);
    }
  }

  /**
   * The batches of an epoch from `startBatch` on. Leaving the loop early is fine.
   * @param epoch - integer from 0
   */
  async *epoch(epoch: number, startBatch = 0): AsyncGenerator<Batch, void, void> {
    checksOf('BatchLoader', dataError).integer('epoch', epoch, { min: 0 });
    checkStart('BatchLoader', startBatch, this.batchesPerEpoch);
    const order = this.#shuffle
      ? epochPermutation(this.#split.length, this.#seed, epoch)
      : undefined;
    const pending: Promise<Batch>[] = [];
    let next = startBatch;
    for (let index = startBatch; index < this.batchesPerEpoch; index++) {
      let batch: Batch | undefined;
      while (next < this.batchesPerEpoch && pending.length <= this.#prefetch) {
        const made = this.#start(epoch, next, order);
        if (!(made instanceof Promise)) {
          // In memory and on this thread: making it ahead would gain nothing.
          batch = made;
          next++;
          break;
        }
        // Kept from being reported as unhandled if the loop is left before it is awaited.
        made.catch(() => undefined);
        pending.push(made);
        next++;
      }
      // One turn of the event loop: signals, timers and finished decodes get their chance even if
      // the caller's step never waits for anything.
      await turn();
      yield batch ?? (await (pending.shift() as Promise<Batch>));
    }
  }

  /**
   * Gives a batch's memory back once its pixels are copied elsewhere (into a tensor); it must not
   * be read afterwards. Optional, but fresh memory costs several times as much as filling it.
   */
  recycle(batch: Batch): void {
    if (this.#spare.length < this.#prefetch + 2) this.#spare.push(batch.images);
  }

  /** Ends the threads, if there are any. */
  async close(): Promise<void> {
    await this.#threads?.close();
  }

  /** For `await using`: `close`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #start(epoch: number, index: number, order: Uint32Array | undefined): Batch | Promise<Batch> {
    const split = this.#split;
    const seed = this.#seed;
    const batchSize = this.#batchSize;
    const globalSize = Math.min(batchSize, split.length - index * batchSize);
    const own = shareOf(globalSize, this.#share);
    const first = index * batchSize + own.first;
    const { size } = own;
    const indices = order
      ? order.slice(first, first + size)
      : Uint32Array.from({ length: size }, (_, i) => first + i);
    const labels = Int32Array.from(indices, (i) => split.label(i));
    const { resizedCrop } = this.#maker.augments.at(epoch);
    const pixels =
      resizedCrop && split.readCropped
        ? split.readCropped(indices, { ...resizedCrop, seed, epoch })
        : split.read(indices);
    const finish = (raw: Uint8Array): Batch | Promise<Batch> => {
      const job: BatchJob = { pixels: raw, indices, labels, epoch, index };
      const images = this.#spare.pop();
      if (images) job.images = images;
      // What lies in memory is finished on this thread: handing it over would take longer.
      const plain = pixels instanceof Promise ? this.#plain.makerOf(epoch) : null;
      this.#threads ??= plain ? undefined : this.#newThreads?.();
      const made = plain?.(job) ?? this.#threads?.make(job) ?? this.#maker.make(job);
      if (this.#share === undefined) return made;
      return made instanceof Promise
        ? made.then((batch) => ({ ...batch, globalSize }))
        : { ...made, globalSize };
    };
    return pixels instanceof Promise ? pixels.then(finish) : finish(pixels);
  }
}

/** Shares in the order of the ranks, which differ by one sample at most. */
function shareOf(
  size: number,
  { rank, workers }: { readonly rank: number; readonly workers: number } = { rank: 0, workers: 1 },
): { first: number; size: number } {
  const start = (n: number) => Math.floor((size * n) / workers);
  return { first: start(rank), size: start(rank + 1) - start(rank) };
}
