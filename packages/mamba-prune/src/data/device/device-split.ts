import { empty, fromTypedArray, noGrad, scope, type Tensor, tensor } from '@mamba-prune/libtorch';
import type { AugmentOptions } from '../augment/options.js';
import { DataError } from '../errors.js';
import type { DatasetInfo, ImageSplit } from '../types.js';

type Shape = Pick<DatasetInfo, 'channels' | 'height' | 'width'>;

export interface UploadOptions {
  /** `cpu`, `cuda`, `cuda:1` ... */
  device: string;
  /** Bytes of device memory that the split may take; default: no limit. */
  budgetBytes?: number;
  /** Bytes of pixels read and sent at a time; default 64 MiB. */
  chunkBytes?: number;
  /** Images sent so far. */
  onProgress?: (done: number, total: number) => void;
  /** Ends the upload between two chunks; what was sent is freed. */
  signal?: AbortSignal;
}

const bytesPerMib = 2 ** 20;

/** Bytes that a split takes on a device: pixels as uint8, labels and the order of an epoch as int64. */
export function deviceBytes(count: number, { channels, height, width }: Shape): number {
  return count * (channels * height * width + 16);
}

/**
 * Why a split cannot be trained on from device memory; undefined if it can. All that the loader on the
 * CPU does to images is done on the device too, except for two cases:
 *
 * - the split does not fit into the budget,
 * - a resized crop is asked for, and the split cuts it out of the full picture while decoding: on the
 *   device only the small square would be left to cut from, which gives blurred crops.
 */
export function whyNotOnDevice(
  split: ImageSplit,
  info: Shape,
  options: { augment?: AugmentOptions | undefined; budgetBytes?: number | undefined } = {},
): string | undefined {
  const { augment, budgetBytes = Infinity } = options;
  const bytes = deviceBytes(split.length, info);
  if (bytes > budgetBytes) {
    return (
      `${split.length} images of ${info.channels}x${info.height}x${info.width} take ` +
      `${mib(bytes)} MiB, more than the ${mib(budgetBytes)} MiB that they may`
    );
  }
  if (augment?.resizedCrop && split.readCropped) {
    return 'resizedCrop is cut out of the full picture while decoding, which is done on the host';
  }
  return undefined;
}

function mib(bytes: number): string {
  return (bytes / bytesPerMib).toFixed(bytes < 100 * bytesPerMib ? 1 : 0);
}

/** A whole split in device memory, as uint8. Any number of `DeviceBatches` can share one. */
export class DeviceSplit {
  readonly length: number;

  /** uint8 [length, channels, height, width] */
  readonly images: Tensor;
  /** int64 [length] */
  readonly labels: Tensor;
  readonly info: DatasetInfo;
  readonly device: string;
  /** See `whyNotOnDevice`. */
  readonly cutsWhileDecoding: boolean;

  private constructor(
    images: Tensor,
    labels: Tensor,
    info: DatasetInfo,
    device: string,
    cutsWhileDecoding: boolean,
  ) {
    this.images = images;
    this.labels = labels;
    this.info = info;
    this.device = device;
    this.cutsWhileDecoding = cutsWhileDecoding;
    this.length = labels.size(0);
  }

  /** Bytes of device memory, with the order of an epoch. */
  get bytes(): number {
    return deviceBytes(this.length, this.info);
  }

  /**
   * Sends a split to a device, a chunk at a time: the host needs memory for one chunk only.
   * @returns the owner of the tensors; call `dispose` when done
   * @throws DataError if it is empty, does not fit into the budget, or has labels without a class
   */
  static async upload(
    split: ImageSplit,
    info: DatasetInfo,
    options: UploadOptions,
  ): Promise<DeviceSplit> {
    const { device, budgetBytes, chunkBytes = 64 * bytesPerMib, onProgress, signal } = options;
    const { length } = split;
    if (length === 0) {
      throw new DataError('DeviceSplit: got an empty split, expected at least 1 image.');
    }
    const obstacle = whyNotOnDevice(split, info, { budgetBytes });
    if (obstacle) {
      throw new DataError(
        `DeviceSplit: ${obstacle}. Raise the budget, take fewer images, or stream the batches.`,
      );
    }
    const labels = labelsOf(split, info.classes.length);
    const { channels, height, width } = info;
    const chunk = Math.max(1, Math.floor(chunkBytes / (channels * height * width)));
    const images = empty([length, channels, height, width], { dtype: 'uint8', device }).keep();
    try {
      for (let start = 0; start < length; start += chunk) {
        signal?.throwIfAborted();
        const count = Math.min(chunk, length - start);
        const pixels = await split.read(Uint32Array.from({ length: count }, (_, i) => start + i));
        scope(() => {
          const shape = [count, channels, height, width];
          const part = fromTypedArray(pixels, shape, { copy: false });
          noGrad(() => images.narrow(0, start, count).copy_(part));
        });
        onProgress?.(start + count, length);
      }
      const onDevice = fromTypedArray(labels, [length], { device }).keep();
      return new DeviceSplit(images, onDevice, info, device, split.readCropped !== undefined);
    } catch (error) {
      images.dispose();
      throw error;
    }
  }

  /** Frees the device memory. */
  dispose(): void {
    this.images.dispose();
    this.labels.dispose();
  }
}

/** @throws DataError naming the first label that no class has */
export function labelsOf(split: ImageSplit, classes: number): BigInt64Array {
  const labels = new BigInt64Array(split.length);
  for (let i = 0; i < split.length; i++) {
    const label = split.label(i);
    if (!(Number.isInteger(label) && label >= 0 && label < classes)) {
      throw new DataError(
        `DeviceSplit: got label ${label} of image ${i}, expected 0 to ${classes - 1}. Verify the data set.`,
      );
    }
    labels[i] = BigInt(label);
  }
  return labels;
}

/** Mean and std as the kernel takes them: float32 [channels]; the caller disposes. */
export function normalisation(info: Pick<DatasetInfo, 'mean' | 'std'>, device: string) {
  return {
    mean: tensor([...info.mean], { device }).keep(),
    std: tensor([...info.std], { device }).keep(),
  };
}
