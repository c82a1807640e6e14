// Images in memory, and what is counted over them.
import { shown } from '../checks.js';
import { isLabel } from './checked-split.js';
import { DataError } from './errors.js';
import type { ImageSplit } from './types.js';

/** Images held in memory, one after another. */
export class MemorySplit implements ImageSplit {
  readonly length: number;

  readonly #images: Uint8Array;
  readonly #labels: ArrayLike<number>;
  readonly #imageBytes: number;

  /**
   * @param images - uint8 planar, [n, channels, height, width]
   * @param labels - [n], numbers of classes, integers from 0
   * @param imageBytes - channels * height * width
   */
  constructor(images: Uint8Array, labels: ArrayLike<number>, imageBytes: number) {
    const given: unknown = images;
    if (!(given instanceof Uint8Array || given instanceof Uint8ClampedArray)) {
      const got = ArrayBuffer.isView(given) ? `a ${given.constructor.name}` : shown(given);
      throw new DataError(
        `MemorySplit: got ${got} of pixels, expected a Uint8Array of values from 0 to 255.`,
      );
    }
    const wrong = Array.from(labels).findIndex((label) => !isLabel(label));
    if (wrong >= 0) {
      throw new DataError(
        `MemorySplit: got label ${shown(labels[wrong])} of image ${wrong}, expected the number of its class, an integer from 0.`,
      );
    }
    this.#images = images;
    this.#labels = labels;
    this.#imageBytes = imageBytes;
    this.length = labels.length;
    if (images.length !== labels.length * imageBytes) {
      throw new DataError(
        `MemorySplit: got ${images.length} bytes of pixels, expected ${labels.length} images of ` +
          `${imageBytes} bytes.`,
      );
    }
  }

  label(index: number): number {
    const label = this.#labels[index];
    if (label === undefined) throw outOfRange(index, this.length);
    return label;
  }

  read(indices: ArrayLike<number>): Uint8Array {
    const size = this.#imageBytes;
    const out = new Uint8Array(indices.length * size);
    for (let i = 0; i < indices.length; i++) {
      const index = indices[i] as number;
      if (!(index >= 0 && index < this.length)) throw outOfRange(index, this.length);
      out.set(this.#images.subarray(index * size, (index + 1) * size), i * size);
    }
    return out;
  }

  /** Images per class. */
  counts(classes: number): number[] {
    return countLabels(this.#labels, classes);
  }
}

export function outOfRange(index: number, length: number): DataError {
  return new DataError(`ImageSplit: got sample index ${index}, expected 0 to ${length - 1}.`);
}

/** How often each of 0..classes-1 occurs; labels beyond are not counted. */
export function countLabels(labels: ArrayLike<number>, classes: number): number[] {
  const counts = new Array<number>(classes).fill(0);
  for (let i = 0; i < labels.length; i++) {
    const label = labels[i] as number;
    if (label < classes) counts[label] = (counts[label] as number) + 1;
  }
  return counts;
}

/**
 * Mean and standard deviation of each channel of pixels scaled to 0..1, exact up to double
 * rounding: the sums are integers.
 * @param images - uint8 planar, [n, channels, height * width]
 */
export function channelStatistics(
  images: Uint8Array,
  channels: number,
  plane: number,
): { mean: number[]; std: number[] } {
  const sums = new Float64Array(channels);
  const squares = new Float64Array(channels);
  for (let start = 0, c = 0; start < images.length; start += plane, c = (c + 1) % channels) {
    let sum = 0;
    let square = 0;
    for (let i = start; i < start + plane; i++) {
      const v = images[i] as number;
      sum += v;
      square += v * v;
    }
    sums[c] = (sums[c] as number) + sum;
    squares[c] = (squares[c] as number) + square;
  }
  const count = images.length / channels;
  const mean = Array.from(sums, (s) => s / count / 255);
  const std = Array.from(squares, (s, c) => {
    const m = (sums[c] as number) / count;
    return Math.sqrt(Math.max(0, s / count - m * m)) / 255;
  });
  return { mean, std };
}
