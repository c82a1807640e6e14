import { setImmediate as turn } from 'node:timers/promises';
import {
  arange,
  callOperator,
  fromTypedArray,
  ops,
  scope,
  type Tensor,
} from '@mamba-prune/libtorch';
import type { ResolvedAugment } from '../augment/options.js';
import type { DatasetInfo, ImageSplit, RandomCrop } from '../types.js';
import { augmentInto } from './augment-op.js';
import { BatchBuffers } from './batch-buffers.js';
import { BatchPlan, type DeviceBatchOptions } from './batch-plan.js';
import { labelsOf } from './device-split.js';
import type { DeviceBatch, DeviceBatchSource } from './types.js';

export interface StreamedBatchOptions extends DeviceBatchOptions {
  /** `cpu`, `cuda`, `cuda:1` ... */
  device: string;
}

/** What the host has ready: pixels of this worker's rows, their sample numbers and labels. */
interface RawBatch {
  pixels: Uint8Array;
  /** [2, rows]: sample numbers, labels */
  numbers: BigInt64Array;
  index: number;
}

/** An epoch's augmentation. */
interface Divided {
  crop: RandomCrop | undefined;
  augment: ResolvedAugment;
}

/**
 * Batches of a split that stays on the host: pixels are read one batch ahead, sent as uint8 (a quarter
 * of float32) from pinned memory without waiting, and augmented on the device by the kernel that
 * `DeviceBatches` uses. The batches are the same as there, but for two cases: a resized crop is cut
 * while decoding where the split can, and with several workers each mixes within its own rows.
 */
export class StreamedBatches implements DeviceBatchSource {
  readonly batchesPerEpoch: number;
  readonly samplesPerEpoch: number;
  readonly #plan: BatchPlan;
  readonly #buffers: BatchBuffers;
  /** The rows of a batch in the order they come, int64 [rows]. */
  readonly #rows: Tensor;
  readonly #labels: BigInt64Array;

  readonly #split: ImageSplit;
  readonly #info: DatasetInfo;
  readonly #options: StreamedBatchOptions;

  /** @throws DataError for options out of range, an empty split, or labels without a class */
  constructor(split: ImageSplit, info: DatasetInfo, options: StreamedBatchOptions) {
    this.#split = split;
    this.#info = info;
    this.#options = options;
    const plan = new BatchPlan('StreamedBatches', split.length, info, options);
    this.#labels = labelsOf(split, info.classes.length);
    this.#plan = plan;
    this.batchesPerEpoch = plan.batchesPerEpoch;
    this.samplesPerEpoch = plan.samplesPerEpoch;
    const { device } = options;
    this.#buffers = new BatchBuffers(info, plan, device);
    this.#rows = scope(() => arange(0, plan.localBatch, 1, { dtype: 'int64', device }).keep());
  }

  /**
   * The batches of an epoch from `startBatch` on. Leaving the loop early is fine; two loops at once
   * are not, as they would share the tensors.
   * @param epoch - integer from 0
   * @throws DataError for an epoch or batch out of range, or an image that cannot be read
   */
  async *epoch(epoch: number, startBatch = 0): AsyncGenerator<DeviceBatch, void, void> {
    const { batchesPerEpoch } = this;
    const plan = this.#plan;
    plan.checkPlace(epoch, startBatch);
    const order = plan.order(epoch);
    const { crop, augment } = this.#divide(plan.augments.at(epoch), epoch);
    this.#buffers.seek(plan.seed, epoch, startBatch);
    let ahead: Promise<RawBatch> | undefined;
    for (let index = startBatch; index < batchesPerEpoch; index++) {
      const raw = await (ahead ?? this.#read(order, index, crop));
      ahead = index + 1 < batchesPerEpoch ? this.#read(order, index + 1, crop) : undefined;
      // Kept from being reported as unhandled if the loop is left before it is awaited.
      ahead?.catch(() => undefined);
      await turn(); // signals and timers get their chance
      const size = raw.numbers.length / 2;
      if (size === 0) continue;
      this.#make(raw, size, augment);
      yield this.#buffers.batch(size, index);
    }
  }

  /** Frees the tensors. */
  dispose(): void {
    this.#buffers.dispose();
    this.#rows.dispose();
  }

  /** What is done while decoding, and what is left to the device. */
  #divide(augment: ResolvedAugment, epoch: number): Divided {
    const { resizedCrop } = augment;
    if (!resizedCrop || !this.#split.readCropped) return { crop: undefined, augment };
    const crop = { seed: this.#plan.seed, epoch, ...resizedCrop };
    return { crop, augment: { ...augment, resizedCrop: undefined } };
  }

  async #read(order: Uint32Array, index: number, crop: RandomCrop | undefined): Promise<RawBatch> {
    const split = this.#split;
    const plan = this.#plan;
    const labels = this.#labels;
    const { size, firstRow } = plan.rows(index);
    const first = index * plan.globalBatch + firstRow;
    const indices = order.slice(first, first + size);
    const numbers = new BigInt64Array(2 * size);
    indices.forEach((sample, row) => {
      numbers[row] = BigInt(sample);
      numbers[size + row] = labels[sample] as bigint;
    });
    const pixels =
      crop && split.readCropped
        ? await split.readCropped(indices, crop)
        : await split.read(indices);
    return { pixels, numbers, index };
  }

  #make({ pixels, numbers }: RawBatch, size: number, augment: ResolvedAugment): void {
    const buffers = this.#buffers;
    const info = this.#info;
    const { channels, height, width } = info;
    const { state, mean, std } = buffers;
    scope(() => {
      const images = this.#send(pixels, [size, channels, height, width]);
      const both = this.#send(numbers, [2, size]);
      augmentInto(
        {
          images,
          samples: both.select(0, 0),
          labels: both.select(0, 1),
          order: this.#rows.narrow(0, 0, size),
          state,
          mean,
          std,
        },
        buffers.room(size),
        { batch: size, firstRow: 0, globalBatch: size, classes: info.classes.length },
        augment,
      );
    });
  }

  /**
   * To the device without a wait. libtorch keeps pinned memory until the copy out of it is done, and
   * gives it to later batches: only the first ones pay for the pinning.
   */
  #send(values: Uint8Array | BigInt64Array, shape: number[]): Tensor {
    const { device } = this.#options;
    const here = fromTypedArray(values, shape, { copy: false });
    if (!device.startsWith('cuda')) return here.to(device);
    const pinned = callOperator('aten::pin_memory', here) as Tensor;
    return ops.toDevice(pinned, device, here.dtype, true);
  }
}
