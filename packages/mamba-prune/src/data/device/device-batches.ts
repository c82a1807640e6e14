import { setImmediate as turn } from 'node:timers/promises';
import { empty, type Tensor } from '@mamba-prune/libtorch';
import type { ResolvedAugment } from '../augment/options.js';
import { augmentInto } from './augment-op.js';
import { BatchBuffers } from './batch-buffers.js';
import { type BatchRows, BatchPlan, type DeviceBatchOptions } from './batch-plan.js';
import type { DeviceSplit } from './device-split.js';
import type { DeviceBatch, DeviceBatchSource } from './types.js';

/**
 * Batches of a split that lies on the device, made there: a step costs one call and no copy. Orders
 * are those of `BatchLoader`; what happens to an image is a pure function of (seed, epoch, sample) and
 * of the batch's number for mixing, so `epoch(e, k)` gives the same bits as `epoch(e)` after k batches,
 * and workers that share a batch make together what one alone would.
 */
export class DeviceBatches implements DeviceBatchSource {
  readonly batchesPerEpoch: number;
  readonly samplesPerEpoch: number;
  readonly #plan: BatchPlan;
  readonly #buffers: BatchBuffers;
  readonly #order: Tensor;
  /** Of the epoch that `seek` was told. */
  #current: ResolvedAugment;

  readonly #split: DeviceSplit;

  /**
   * @param split - stays the caller's: dispose it after the batches
   * @throws DataError for options out of range, and for a resized crop of images that are cut while
   *   decoding (`whyNotOnDevice`)
   */
  constructor(split: DeviceSplit, options: DeviceBatchOptions) {
    this.#split = split;
    const { info, device } = split;
    const plan = new BatchPlan('DeviceBatches', split.length, info, options);
    const { first, last } = plan.augments;
    if ((first.resizedCrop ?? last.resizedCrop) && split.cutsWhileDecoding) {
      throw plan.error(
        'resizedCrop for images that are cut out of the full picture while decoding, expected none ' +
          'on the device. Stream the batches, or use padCrop.',
      );
    }
    this.#plan = plan;
    this.#current = first;
    this.batchesPerEpoch = plan.batchesPerEpoch;
    this.samplesPerEpoch = plan.samplesPerEpoch;
    this.#buffers = new BatchBuffers(info, plan, device);
    this.#order = empty([plan.samplesPerEpoch], { dtype: 'int64', device }).keep();
    this.seek(0);
  }

  /** The tensors that `next` fills, the same for the life of this object. */
  get tensors(): DeviceBatch {
    return this.#buffers.batch(this.#plan.localBatch, 0);
  }

  /**
   * What `next` does to images, where it stands now. A captured graph goes on doing what it did when it
   * was captured: capture anew when this is another object.
   */
  get augment(): Readonly<ResolvedAugment> {
    return this.#current;
  }

  /** Whether all batches are of one size, as `next` needs. */
  get isEven(): boolean {
    return this.#plan.isEven;
  }

  /**
   * Sets the place that `next` goes on from. This copies the epoch's order to the device: once per
   * epoch, never inside a graph. A graph that was captured before stays valid while
   * `augment` is the same.
   * @throws DataError for an epoch or batch out of range
   */
  seek(epoch: number, startBatch = 0): void {
    const plan = this.#plan;
    plan.checkPlace(epoch, startBatch);
    this.#order.setValues(BigInt64Array.from(plan.order(epoch), BigInt));
    this.#buffers.seek(plan.seed, epoch, startBatch);
    this.#current = plan.augments.at(epoch);
  }

  /**
   * Makes the next batch into `tensors`. Only gives work to the device, which counts the steps: inside
   * a captured CUDA graph every replay makes another batch. Beyond the epoch's end it begins again;
   * call `seek` for the next epoch.
   * @throws DataError if the batches are not all of one size: choose dropLast
   */
  next(): DeviceBatch {
    const plan = this.#plan;
    if (!plan.isEven) {
      throw plan.error(
        `${plan.samplesPerEpoch} samples in batches of ${plan.globalBatch} for ${plan.workers} ` +
          'worker(s), expected full batches only. Set dropLast.',
      );
    }
    return this.#make(plan.rows(0), 0);
  }

  /**
   * The batches of an epoch from `startBatch` on. Leaving the loop early is fine; two loops at once
   * are not, as they would share the tensors.
   * @param epoch - integer from 0
   */
  async *epoch(epoch: number, startBatch = 0): AsyncGenerator<DeviceBatch, void, void> {
    this.seek(epoch, startBatch);
    for (let index = startBatch; index < this.batchesPerEpoch; index++) {
      // One turn of the event loop: signals and timers get their chance.
      await turn();
      const rows = this.#plan.rows(index);
      // A last batch of fewer images than workers has none for some of them.
      if (rows.size > 0) yield this.#make(rows, index);
    }
  }

  /** Frees all but the split. */
  dispose(): void {
    this.#buffers.dispose();
    this.#order.dispose();
  }

  #make({ size, firstRow }: BatchRows, index: number): DeviceBatch {
    const split = this.#split;
    const plan = this.#plan;
    const buffers = this.#buffers;
    const order = this.#order;
    const { state, mean, std } = buffers;
    augmentInto(
      { images: split.images, labels: split.labels, order, state, mean, std },
      buffers.room(size),
      { batch: size, firstRow, globalBatch: plan.globalBatch, classes: split.info.classes.length },
      this.#current,
    );
    return buffers.batch(size, index);
  }
}
