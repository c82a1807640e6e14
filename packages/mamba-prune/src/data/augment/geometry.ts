/** Affine maps: rotate, shear, translate, and the resize of a crop box. */
import type { Box } from '../crop-box.js';
import type { ImageShape } from './shape.js';

export type Sampling = 'bilinear' | 'nearest';

/**
 * Draws the image through an affine map; whatever lies outside is the fill colour.
 *
 * Output pixel (x, y) takes the input at (ax * x + bx * y + cx, ay * x + by * y + cy), pixel centres
 * being whole numbers (the map goes from output to input).
 */
export function warpAffine(
  image: Uint8Array,
  out: Uint8Array,
  shape: ImageShape,
  sampling: Sampling,
  ax: number,
  bx: number,
  cx: number,
  ay: number,
  by: number,
  cy: number,
): void {
  const { channels, height, width, fill } = shape;
  const plane = height * width;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const u = ax * x + bx * y + cx;
      const v = ay * x + by * y + cy;
      const to = y * width + x;
      if (sampling === 'nearest') {
        const i = Math.floor(u + 0.5);
        const j = Math.floor(v + 0.5);
        const inside = i >= 0 && i < width && j >= 0 && j < height;
        const from = j * width + i;
        for (let c = 0; c < channels; c++) {
          out[c * plane + to] = (inside ? image[c * plane + from] : fill[c]) as number;
        }
        continue;
      }
      const i = Math.floor(u);
      const j = Math.floor(v);
      const right = u - i;
      const below = v - j;
      const w00 = (1 - right) * (1 - below);
      const w10 = right * (1 - below);
      const w01 = (1 - right) * below;
      const w11 = right * below;
      const from = j * width + i;
      if (i >= 0 && i + 1 < width && j >= 0 && j + 1 < height) {
        for (let c = 0; c < channels; c++) {
          const at = c * plane + from;
          out[c * plane + to] =
            w00 * (image[at] as number) +
            w10 * (image[at + 1] as number) +
            w01 * (image[at + width] as number) +
            w11 * (image[at + width + 1] as number) +
            0.5; // stored truncated: this rounds
        }
        continue;
      }
      // On the border each of the four neighbours may lie outside.
      const in0 = i >= 0 && i < width;
      const in1 = i + 1 >= 0 && i + 1 < width;
      const up = j >= 0 && j < height;
      const down = j + 1 >= 0 && j + 1 < height;
      for (let c = 0; c < channels; c++) {
        const at = c * plane + from;
        const outside = fill[c] as number;
        out[c * plane + to] =
          w00 * (up && in0 ? (image[at] as number) : outside) +
          w10 * (up && in1 ? (image[at + 1] as number) : outside) +
          w01 * (down && in0 ? (image[at + width] as number) : outside) +
          w11 * (down && in1 ? (image[at + width + 1] as number) : outside) +
          0.5;
      }
    }
  }
}

/** Turns counter-clockwise around the centre. */
export function rotate(
  image: Uint8Array,
  out: Uint8Array,
  shape: ImageShape,
  sampling: Sampling,
  degrees: number,
): void {
  const angle = (degrees * Math.PI) / 180;
  const cos = Math.cos(angle);
  const sin = Math.sin(angle);
  const x0 = (shape.width - 1) / 2;
  const y0 = (shape.height - 1) / 2;
  // With y downwards, output to input of a counter-clockwise turn is (cos, -sin; sin, cos).
  const cx = x0 - cos * x0 + sin * y0;
  const cy = y0 - sin * x0 - cos * y0;
  warpAffine(image, out, shape, sampling, cos, -sin, cx, sin, cos, cy);
}

/** Slants rows by `x` and columns by `y` (pixels per pixel) around the centre. */
export function shear(
  image: Uint8Array,
  out: Uint8Array,
  shape: ImageShape,
  sampling: Sampling,
  x: number,
  y: number,
): void {
  const x0 = (shape.width - 1) / 2;
  const y0 = (shape.height - 1) / 2;
  warpAffine(image, out, shape, sampling, 1, x, -x * y0, y, 1, -y * x0);
}

/** Moves the picture by (-dx, -dy) pixels, fractions included. */
export function translate(
  image: Uint8Array,
  out: Uint8Array,
  shape: ImageShape,
  sampling: Sampling,
  dx: number,
  dy: number,
): void {
  warpAffine(image, out, shape, sampling, 1, 0, dx, 0, 1, dy);
}

/**
 * Enlarges a box of the image to the image's size, bilinear. Positions are kept inside the box, so
 * neither the fill colour nor pixels beyond the box come in.
 */
export function resizeBox(image: Uint8Array, out: Uint8Array, shape: ImageShape, box: Box): void {
  const { channels, height, width } = shape;
  const plane = height * width;
  const scaleX = box.width / width;
  const scaleY = box.height / height;
  const lastX = box.left + box.width - 1;
  const lastY = box.top + box.height - 1;
  for (let y = 0; y < height; y++) {
    const v = Math.min(lastY, Math.max(box.top, box.top + (y + 0.5) * scaleY - 0.5));
    const j = Math.min(Math.floor(v), Math.max(box.top, lastY - 1));
    const below = v - j;
    const step = j < lastY ? width : 0;
    for (let x = 0; x < width; x++) {
      const u = Math.min(lastX, Math.max(box.left, box.left + (x + 0.5) * scaleX - 0.5));
      const i = Math.min(Math.floor(u), Math.max(box.left, lastX - 1));
      const right = u - i;
      const next = i < lastX ? 1 : 0;
      const from = j * width + i;
      const to = y * width + x;
      for (let c = 0; c < channels; c++) {
        const at = c * plane + from;
        const upper = (image[at] as number) * (1 - right) + (image[at + next] as number) * right;
        const lower =
          (image[at + step] as number) * (1 - right) + (image[at + step + next] as number) * right;
        out[c * plane + to] = upper * (1 - below) + lower * below + 0.5;
      }
    }
  }
}
