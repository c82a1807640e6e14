/**
 * RandAugment (Cubuk et al. 2020, arXiv:1909.13719): a few operations drawn uniformly, all with one
 * strength. Ranges are the paper's; the sign of those that have one is a coin toss. Unlike the
 * paper's list ours has invert too (as timm's), and shears around the centre.
 */
import type { Random } from '../random.js';
import * as colours from './colour.js';
import { rotate, shear, translate, type Sampling } from './geometry.js';
import type { ImageShape } from './shape.js';

/** In drawing order: inserting one changes which image gets what, so append only. */
export const randAugmentOps = [
  'identity',
  'autocontrast',
  'equalize',
  'invert',
  'posterize',
  'solarize',
  'contrast',
  'brightness',
  'sharpness',
  'rotate',
  'shearX',
  'shearY',
  'translateX',
  'translateY',
  'colour', // last: images of one channel draw from the list without it
] as const;
export type RandAugmentOp = (typeof randAugmentOps)[number];

/** Two buffers that take turns; `image` holds the current picture. */
export interface Canvas {
  image: Uint8Array;
  spare: Uint8Array;
}

export function swap(canvas: Canvas): void {
  const { image } = canvas;
  canvas.image = canvas.spare;
  canvas.spare = image;
}

/** Draws and applies `ops` operations. @param magnitude - 0..10 */
export function randAugment(
  canvas: Canvas,
  shape: ImageShape,
  random: Random,
  ops: number,
  magnitude: number,
  sampling: Sampling,
): void {
  const choices = randAugmentOps.length - (shape.channels < 3 ? 1 : 0);
  for (let i = 0; i < ops; i++) {
    const op = randAugmentOps[random.below(choices)] as RandAugmentOp;
    const sign = random.below(2) === 0 ? 1 : -1; // always drawn: the stream stays in step
    applyOp(canvas, shape, op, magnitude / 10, sign, sampling);
  }
}

/** One operation. @param level - 0 (nothing, for most) to 1 @param sign - 1 or -1 */
export function applyOp(
  canvas: Canvas,
  shape: ImageShape,
  op: RandAugmentOp,
  level: number,
  sign: number,
  sampling: Sampling,
): void {
  const { image, spare } = canvas;
  const enhance = 1 + 0.9 * level * sign;
  switch (op) {
    case 'identity':
      return;
    case 'autocontrast':
      colours.autocontrast(image, shape);
      return;
    case 'equalize':
      colours.equalize(image, shape);
      return;
    case 'invert':
      colours.invert(image, shape);
      return;
    case 'posterize':
      colours.posterize(image, shape, 8 - Math.round(4 * level));
      return;
    case 'solarize':
      colours.solarize(image, shape, 256 - Math.round(256 * level));
      return;
    case 'contrast':
      colours.contrast(image, shape, enhance);
      return;
    case 'brightness':
      colours.brightness(image, shape, enhance);
      return;
    case 'colour':
      colours.colour(image, shape, enhance);
      return;
    case 'sharpness':
      colours.sharpness(image, spare, shape, enhance);
      break;
    case 'rotate':
      rotate(image, spare, shape, sampling, 30 * level * sign);
      break;
    case 'shearX':
      shear(image, spare, shape, sampling, 0.3 * level * sign, 0);
      break;
    case 'shearY':
      shear(image, spare, shape, sampling, 0, 0.3 * level * sign);
      break;
    case 'translateX':
      translate(image, spare, shape, sampling, 0.45 * shape.width * level * sign, 0);
      break;
    case 'translateY':
      translate(image, spare, shape, sampling, 0, 0.45 * shape.height * level * sign);
      break;
  }
  swap(canvas);
}
