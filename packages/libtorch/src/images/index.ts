/**
 * Pictures to the squares that models take, on threads of the addon: beside the thread of JavaScript, and beside libuv's
 * four, which files and sharp share.
 *
 * JPEG files are decoded by libjpeg-turbo's TurboJPEG library, which is opened at run time where the system has it
 * (Debian's package `libturbojpeg0`). It decodes in full size with the exact transform. What is resized is resized as
 * Pillow 13 does it, byte for byte. The result depends neither on the number of threads nor on the processor.
 *
 * @module @mamba-prune/libtorch/images
 */
import { isAddonThere } from '../load-addon.js';
import { native } from '../native.js';

/** A part of a picture, the size to which that part is resized, and the square that is cut out of the result. */
export interface ImageSquare {
  /** Of the whole picture, in pixels. */
  readonly width: number;
  readonly height: number;
  /** What is resized. */
  readonly part: {
    readonly left: number;
    readonly top: number;
    readonly width: number;
    readonly height: number;
  };
  /** What the part becomes, and where the square lies in it. */
  readonly frame: {
    readonly left: number;
    readonly top: number;
    readonly width: number;
    readonly height: number;
  };
  /** Side of the square. */
  readonly size: number;
  /** Planes that are written; those of a grey picture are all the same. */
  readonly channels: number;
  readonly interpolation: 'bilinear' | 'bicubic';
}

const inOrder = (square: ImageSquare): (number | string)[] => {
  const { width, height, part, frame, size, channels, interpolation } = square;
  const ofPart = [part.left, part.top, part.width, part.height];
  const ofFrame = [frame.width, frame.height, frame.left, frame.top];
  return [width, height, ...ofPart, ...ofFrame, size, channels, interpolation];
};

/** Whether pictures can be resized here: the addon is loaded, or built and fit to be. Nothing is built for it. */
export const hasImageThreads = (): boolean => isAddonThere();

/** Whether the system has libjpeg-turbo's TurboJPEG library. Without it `jpegSquare` gives false for every file. */
export const hasTurboJpeg = (): boolean => native.hasJpeg();

/**
 * Reads a JPEG file and writes the square.
 * @param out - uint8 [channels, size, size]; not to be touched before the promise is settled
 * @returns false where nothing was decoded, so that somebody has to look more closely: the file cannot be read, is no
 *   JPEG, is damaged in any way, is turned by its EXIF orientation, has four channels, a rare subsampling, more than 16
 *   million pixels, or another size than `square` says. `out` may hold anything then.
 * @throws TypeError or RangeError for a part or a square that lies outside
 */
export function jpegSquare(path: string, square: ImageSquare, out: Uint8Array): Promise<boolean> {
  return native.jpegSquare(path, out, ...inOrder(square));
}

/**
 * Resizes a decoded picture and writes the square.
 * @param pixels - rows of pixels; neither they nor `out` are to be touched before the promise is settled
 * @param bytesOfPixel - 1 or 2 for grey, 3 or 4 for colours; alpha is dropped
 * @param out - uint8 [channels, size, size]
 * @throws TypeError or RangeError for a part or a square that lies outside, or memory of another size
 */
export function pixelsSquare(
  pixels: Uint8Array | Uint8ClampedArray,
  bytesOfPixel: number,
  square: ImageSquare,
  out: Uint8Array,
): Promise<void> {
  return native.pixelsSquare(pixels, bytesOfPixel, out, ...inOrder(square));
}

/** What the images of a batch become. */
export interface ImageFloats {
  readonly channels: number;
  readonly height: number;
  readonly width: number;
  /** What a byte becomes: float32 [channels, 256]. */
  readonly tables: Float32Array;
  /** Which images are mirrored left and right, 1 or 0: [n]. */
  readonly flipped: Uint8Array;
}

/** Values that a thread converts in one go: long enough to be worth the handing over. */
const valuesAtOnce = 2 ** 20;

/**
 * Looks up what the bytes of images become, on the threads for images, before the pictures that still wait for one.
 * None of the arrays is to be touched before the promise is settled.
 * @param pixels - uint8 [n, channels, height, width]
 * @param out - float32 of the same shape
 * @throws TypeError or RangeError for arrays of another kind or size
 */
export async function imageFloats(
  pixels: Uint8Array,
  how: ImageFloats,
  out: Float32Array,
): Promise<void> {
  const { channels, height, width, tables, flipped } = how;
  const images = Math.max(1, Math.floor(valuesAtOnce / (channels * height * width)));
  const parts: Promise<void>[] = [];
  for (let first = 0; first < flipped.length; first += images) {
    const span = [channels, height, width, first, Math.min(images, flipped.length - first)];
    parts.push(native.imageFloats(pixels, out, tables, flipped, ...span));
  }
  await Promise.all(parts);
}

let chosen = false;

/**
 * Sets how many threads decode and resize, for the whole process.
 * @throws RangeError unless 1 <= count <= 1024
 */
export function setImageThreads(count: number): void {
  native.imageThreads(count);
  chosen = true;
}

/** Threads that decode and resize: those set, or else as many as libtorch computes with. */
export function imageThreads(): number {
  if (chosen) return native.imageThreads();
  return native.imageThreads(native.numThreads());
}
