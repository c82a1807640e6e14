/**
 * Colour operations with Pillow's meanings (ImageOps, ImageEnhance), in place, without allocation.
 * Results are rounded where Pillow truncates. Those that act on each value alone go through a table.
 */
import type { ImageShape } from './shape.js';

const table = new Uint8Array(256);
const histogram = new Uint32Array(256);

/** Stored in a byte: values are rounded and kept within 0..255. */
function toByte(value: number): number {
  return value <= 0 ? 0 : value >= 255 ? 255 : (value + 0.5) | 0;
}

function applyTable(image: Uint8Array, start: number, end: number): void {
  for (let i = start; i < end; i++) image[i] = table[image[i] as number] as number;
}

function wholeSize(shape: ImageShape): number {
  return shape.channels * shape.height * shape.width;
}

/** Negative. */
export function invert(image: Uint8Array, shape: ImageShape): void {
  const size = wholeSize(shape);
  for (let i = 0; i < size; i++) image[i] = 255 - (image[i] as number);
}

/** Keeps the highest `bits` bits (0..8). */
export function posterize(image: Uint8Array, shape: ImageShape, bits: number): void {
  const mask = (0xff << (8 - bits)) & 0xff;
  const size = wholeSize(shape);
  for (let i = 0; i < size; i++) image[i] = (image[i] as number) & mask;
}

/** Inverts values at or above the threshold (0..256). */
export function solarize(image: Uint8Array, shape: ImageShape, threshold: number): void {
  const size = wholeSize(shape);
  for (let i = 0; i < size; i++) {
    const v = image[i] as number;
    image[i] = v < threshold ? v : 255 - v;
  }
}

/** Stretches each channel so that its darkest value is 0 and its brightest 255. */
export function autocontrast(image: Uint8Array, shape: ImageShape): void {
  const plane = shape.height * shape.width;
  for (let start = 0; start < plane * shape.channels; start += plane) {
    let low = 255;
    let high = 0;
    for (let i = start; i < start + plane; i++) {
      const v = image[i] as number;
      if (v < low) low = v;
      if (v > high) high = v;
    }
    if (high <= low) continue; // a single value: nothing to stretch
    for (let v = 0; v < 256; v++) table[v] = toByte(((v - low) * 255) / (high - low));
    applyTable(image, start, start + plane);
  }
}

/** Spreads each channel's values so that all are about equally frequent. */
export function equalize(image: Uint8Array, shape: ImageShape): void {
  const plane = shape.height * shape.width;
  for (let start = 0; start < plane * shape.channels; start += plane) {
    histogram.fill(0);
    for (let i = start; i < start + plane; i++) {
      const v = image[i] as number;
      histogram[v] = (histogram[v] as number) + 1;
    }
    let last = 255;
    while (last > 0 && histogram[last] === 0) last--;
    const step = Math.floor((plane - (histogram[last] as number)) / 255);
    if (step === 0) continue; // too few different values
    let below = step >> 1;
    for (let v = 0; v < 256; v++) {
      const level = Math.floor(below / step);
      table[v] = level > 255 ? 255 : level;
      below += histogram[v] as number;
    }
    applyTable(image, start, start + plane);
  }
}

/** 0 gives black, 1 the image. */
export function brightness(image: Uint8Array, shape: ImageShape, factor: number): void {
  for (let v = 0; v < 256; v++) table[v] = toByte(v * factor);
  applyTable(image, 0, wholeSize(shape));
}

/** 0 gives the image's mean grey, 1 the image. */
export function contrast(image: Uint8Array, shape: ImageShape, factor: number): void {
  const plane = shape.height * shape.width;
  let sum = 0;
  for (let i = 0; i < plane; i++) sum += greyAt(image, i, plane, shape.channels);
  const mean = Math.floor(sum / plane + 0.5);
  for (let v = 0; v < 256; v++) table[v] = toByte(mean + factor * (v - mean));
  applyTable(image, 0, wholeSize(shape));
}

/** Saturation: 0 gives a grey image, 1 the image. Images of one channel stay as they are. */
export function colour(image: Uint8Array, shape: ImageShape, factor: number): void {
  if (shape.channels < 3) return;
  const plane = shape.height * shape.width;
  for (let i = 0; i < plane; i++) {
    const grey = greyAt(image, i, plane, shape.channels);
    for (let at = i; at < 3 * plane; at += plane) {
      image[at] = toByte(grey + factor * ((image[at] as number) - grey));
    }
  }
}

/** ITU-R 601 luma in 16-bit fixed point, as in Pillow. */
function greyAt(image: Uint8Array, i: number, plane: number, channels: number): number {
  if (channels < 3) return image[i] as number;
  const red = image[i] as number;
  const green = image[i + plane] as number;
  const blue = image[i + 2 * plane] as number;
  return (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16;
}

/**
 * 0 gives a smoothed image (3x3, middle 5 of 13), 1 the image, 2 a sharpened one. The outermost
 * pixels stay. The only one that cannot work in place: `out` gets the result.
 */
export function sharpness(
  image: Uint8Array,
  out: Uint8Array,
  shape: ImageShape,
  factor: number,
): void {
  const { height, width } = shape;
  const plane = height * width;
  for (let c = 0; c < shape.channels; c++) {
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const i = c * plane + y * width + x;
        const v = image[i] as number;
        if (y === 0 || y === height - 1 || x === 0 || x === width - 1) {
          out[i] = v;
          continue;
        }
        const around =
          (image[i - width - 1] as number) +
          (image[i - width] as number) +
          (image[i - width + 1] as number) +
          (image[i - 1] as number) +
          (image[i + 1] as number) +
          (image[i + width - 1] as number) +
          (image[i + width] as number) +
          (image[i + width + 1] as number);
        const smooth = (around + 5 * v) / 13;
        out[i] = toByte(smooth + factor * (v - smooth));
      }
    }
  }
}
