// A tensor of a torch.save file: a description, and its bytes on demand.
import { FormatError } from '../errors.js';
import {
  denseByteLength,
  safetensorsItemSize,
  type SafetensorsDType,
} from '../safetensors/dtype.js';
import type { StorageBytes } from './storage.js';
import { copyStrided, isRowMajor } from './strided.js';

/**
 * A tensor with stride 0 (`expand`) is larger than its storage. Beyond this many bytes that is taken for
 * a trap: a file of a few bytes must not fill the memory.
 */
const maxExpandedBytes = 1024 ** 3;

export interface TensorLayout {
  readonly dtype: SafetensorsDType;
  readonly shape: readonly number[];
  /** In elements, as torch counts. */
  readonly strides: readonly number[];
  /** In elements. */
  readonly storageOffset: number;
}

export class TorchTensor implements TensorLayout {
  readonly kind = 'tensor';
  readonly dtype: SafetensorsDType;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
  readonly storageOffset: number;
  /** Bytes that read() returns. */
  readonly byteLength: number;
  readonly #storage: StorageBytes;
  readonly requiresGrad: boolean;
  readonly device: string;
  readonly #where: string;

  /**
   * @param device - where it was saved from, `cuda:0`; the bytes are the same everywhere
   * @param where - start of messages
   * @throws FormatError if the layout reaches outside the storage
   */
  constructor(
    storage: StorageBytes,
    layout: TensorLayout,
    requiresGrad: boolean,
    device: string,
    where: string,
  ) {
    this.#storage = storage;
    this.requiresGrad = requiresGrad;
    this.device = device;
    this.#where = where;
    this.dtype = layout.dtype;
    this.shape = layout.shape;
    this.strides = layout.strides;
    this.storageOffset = layout.storageOffset;
    this.byteLength = checkLayout(layout, storage.byteLength, where);
  }

  /** Tensors of one file with equal keys share their storage (tied weights, views). */
  get storageKey(): string {
    return this.#storage.key;
  }

  /** The same memory under another flag, as torch.nn.Parameter wraps a tensor. */
  withRequiresGrad(requiresGrad: boolean): TorchTensor {
    return new TorchTensor(this.#storage, this, requiresGrad, this.device, this.#where);
  }

  /**
   * The elements in row-major order, little-endian, in memory of their own whatever the strides.
   *
   * @throws FormatError if the checksum is wrong or the file is closed
   */
  read(): Uint8Array<ArrayBuffer> {
    if (this.byteLength === 0) return new Uint8Array(0);
    const itemSize = safetensorsItemSize[this.dtype];
    // Only the part of the storage that the tensor reaches is read.
    const span = this.#storage.read(
      this.storageOffset * itemSize,
      (lastElement(this.shape, this.strides) + 1) * itemSize,
    );
    if (isRowMajor(this.shape, this.strides)) return span;
    return copyStrided(span, this.shape, this.strides, itemSize);
  }
}

/** Index of the last element that a non-empty tensor reaches, counted from its first. */
function lastElement(shape: readonly number[], strides: readonly number[]): number {
  return shape.reduce((sum, size, i) => sum + (size - 1) * (strides[i] ?? 0), 0);
}

function checkLayout(layout: TensorLayout, storageBytes: number, where: string): number {
  const { dtype, shape, strides, storageOffset } = layout;
  const text =
    `${dtype} tensor of shape [${shape.join(', ')}], strides [${strides.join(', ')}], ` +
    `offset ${storageOffset}`;
  const byteLength = denseByteLength(shape, dtype);
  if (byteLength === undefined || strides.length !== shape.length) {
    throw new FormatError(
      `${where}: got a ${text}, expected one stride for each dimension and fewer than 2^53 bytes.`,
    );
  }
  if (byteLength === 0) return 0; // Looks at nothing, so its strides and offset mean nothing.
  const itemSize = safetensorsItemSize[dtype];
  // A float64 sum of non-negative terms errs by less than it takes to look in range when it is not:
  // anything beyond 2^53 is larger than every file.
  const end = (storageOffset + lastElement(shape, strides) + 1) * itemSize;
  if (end > storageBytes) {
    throw new FormatError(
      `${where}: got a ${text}, which ends at byte ${end}, expected at most ${storageBytes} ` +
        '(its storage). The file is damaged.',
    );
  }
  if (byteLength > storageBytes && byteLength > maxExpandedBytes) {
    throw new FormatError(
      `${where}: got a ${text}: ${byteLength} bytes out of ${storageBytes} by repetition, ` +
        `expected at most ${maxExpandedBytes}. Save the tensor before it is expanded.`,
    );
  }
  return byteLength;
}
