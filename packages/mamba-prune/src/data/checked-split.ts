// A split of code of one's own, which the compiler may not have seen: labels and pixels are looked at as they are read.
import { shown } from '../checks.js';
import { DataError } from './errors.js';
import type { DatasetInfo, ImageSplit, RandomCrop } from './types.js';

type Shape = Pick<DatasetInfo, 'channels' | 'height' | 'width' | 'classes'>;

/**
 * A split whose labels and pixels are what its data set says.
 * @param where - with which messages begin
 */
export function checkedSplit(where: string, split: ImageSplit, info: Shape): ImageSplit {
  const bytes = info.channels * info.height * info.width;
  const check = (indices: ArrayLike<number>, pixels: unknown): Uint8Array =>
    ownPixels(where, pixels, [indices.length, info.channels, info.height, info.width], bytes);
  const checkAll = (
    indices: ArrayLike<number>,
    pixels: Uint8Array | Promise<Uint8Array>,
  ): Uint8Array | Promise<Uint8Array> =>
    pixels instanceof Promise
      ? pixels.then((read) => check(indices, read))
      : check(indices, pixels);
  return {
    length: split.length,
    label: (index) => {
      const label: unknown = split.label(index);
      if (isLabel(label) && label < info.classes.length) return label;
      throw new DataError(
        `${where}: got label ${shown(label)} of image ${index}, expected an integer from 0 to ${info.classes.length - 1}.`,
      );
    },
    read: (indices) => checkAll(indices, split.read(indices)),
    ...(split.readCropped && {
      readCropped: async (indices: ArrayLike<number>, crop: RandomCrop) =>
        check(indices, await split.readCropped?.(indices, crop)),
    }),
  };
}

/** With which messages about a split begin that is of no certain function's data set. */
export const ofDataset = ({ name }: Pick<DatasetInfo, 'name'>): string => `data set "${name}"`;

/** Whether it can be the number of a class. */
export const isLabel = (label: unknown): label is number =>
  Number.isInteger(label) && (label as number) >= 0;

/** Pixels in memory that is theirs alone: a view of what a split keeps would be changed, and moved away, with the batch. */
function ownPixels(
  where: string,
  pixels: unknown,
  shape: readonly number[],
  imageBytes: number,
): Uint8Array {
  const expected = (shape[0] ?? 0) * imageBytes;
  if (!(pixels instanceof Uint8Array) || pixels.length !== expected) {
    const got =
      pixels instanceof Uint8Array ? `${pixels.length} bytes` : `no Uint8Array (${typeof pixels})`;
    throw new DataError(
      `${where}: got ${got} of pixels, expected ${expected} bytes, [${shape.join(', ')}]. ` +
        'Give them in a new array at every read.',
    );
  }
  const { buffer } = pixels;
  const isWhole = buffer instanceof ArrayBuffer && buffer.byteLength === expected;
  return isWhole ? pixels : new Uint8Array(pixels);
}
