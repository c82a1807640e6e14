/** Moving, mirroring and hiding parts. No function here allocates; `out` and `image` never overlap. */
import type { Box } from '../crop-box.js';
import type { ImageShape } from './shape.js';

/**
 * Cuts the image's size out of the padded image (He et al. 2016, section 4.2): the picture moves
 * by (-dx, -dy) and the fill colour comes in.
 */
export function shiftImage(
  image: Uint8Array,
  out: Uint8Array,
  shape: ImageShape,
  dx: number,
  dy: number,
): void {
  const { channels, height, width } = shape;
  const firstX = Math.min(width, Math.max(0, -dx));
  const endX = Math.min(width, width - dx);
  for (let c = 0; c < channels; c++) {
    const fill = shape.fill[c] as number;
    for (let y = 0; y < height; y++) {
      const to = (c * height + y) * width;
      const from = to + dy * width + dx;
      if (y + dy < 0 || y + dy >= height) {
        for (let x = 0; x < width; x++) out[to + x] = fill;
        continue;
      }
      for (let x = 0; x < firstX; x++) out[to + x] = fill;
      for (let x = firstX; x < endX; x++) out[to + x] = image[from + x] as number;
      for (let x = Math.max(0, endX); x < width; x++) out[to + x] = fill;
    }
  }
}

/** Mirrors left and right, in place. */
export function flipHorizontally(image: Uint8Array, shape: ImageShape): void {
  const { width } = shape;
  const end = shape.channels * shape.height * width;
  for (let row = 0; row < end; row += width) {
    for (let left = row, right = row + width - 1; left < right; left++, right--) {
      const kept = image[left] as number;
      image[left] = image[right] as number;
      image[right] = kept;
    }
  }
}

/**
 * Fills a square of side `side` around (x, y), in place; at the border it is cut off, as in DeVries
 * and Taylor 2017 (arXiv:1708.04552).
 */
export function cutout(
  image: Uint8Array,
  shape: ImageShape,
  x: number,
  y: number,
  side: number,
): void {
  const { height, width } = shape;
  const left = Math.max(0, x - (side >> 1));
  const right = Math.min(width, x - (side >> 1) + side);
  const top = Math.max(0, y - (side >> 1));
  const bottom = Math.min(height, y - (side >> 1) + side);
  fillBox(image, shape, { left, top, width: right - left, height: bottom - top });
}

/** Fills a rectangle within the image with its fill colour, in place. */
export function fillBox(image: Uint8Array, shape: ImageShape, box: Readonly<Box>): void {
  const { channels, height, width } = shape;
  for (let c = 0; c < channels; c++) {
    const fill = shape.fill[c] as number;
    for (let row = box.top; row < box.top + box.height; row++) {
      const at = (c * height + row) * width + box.left;
      image.fill(fill, at, at + box.width);
    }
  }
}
