import { type Box, drawCropBox, drawErasedBox } from '../crop-box.js';
import { Random, Stage } from '../random.js';
import { cutout, fillBox, flipHorizontally, shiftImage } from './basic.js';
import { resizeBox } from './geometry.js';
import type { ResolvedAugment } from './options.js';
import { type Canvas, randAugment, swap } from './rand-augment.js';
import type { ImageShape } from './shape.js';

/** Whether the images that are mirrored at random include this one. @param random - what draws */
export function isFlipped(random: Random, seed: number, epoch: number, sample: number): boolean {
  return random.seed(seed, Stage.flip, epoch, sample).below(2) === 1;
}

/**
 * Augments single images. What happens to an image depends on (seed, epoch, sample index) only;
 * each step has a random stream of its own, so switching one off leaves the others as they were.
 * Keeps its buffers: no pixels are allocated per image.
 */
export class Augmenter {
  readonly #random: Random;
  readonly #canvas: Canvas;
  readonly #box: Box = { left: 0, top: 0, width: 0, height: 0 };
  readonly #bytes: number;

  readonly #options: ResolvedAugment;
  readonly #shape: ImageShape;
  readonly #seed: number;
  readonly #cropped: boolean;

  /**
   * @param cropped - the images come already cropped (done while decoding)
   * @param random - what draws; its state before does not matter
   */
  constructor(
    options: ResolvedAugment,
    shape: ImageShape,
    seed: number,
    cropped: boolean,
    random = new Random(),
  ) {
    this.#random = random;
    this.#options = options;
    this.#shape = shape;
    this.#seed = seed;
    this.#cropped = cropped;
    this.#bytes = shape.channels * shape.height * shape.width;
    this.#canvas = { image: new Uint8Array(this.#bytes), spare: new Uint8Array(this.#bytes) };
  }

  /** Augments the image at `offset` in `pixels`, in place. */
  apply(pixels: Uint8Array, offset: number, epoch: number, sample: number): void {
    const options = this.#options;
    const shape = this.#shape;
    const canvas = this.#canvas;
    const random = this.#random;
    const seed = this.#seed;
    const bytes = this.#bytes;
    const box = this.#box;
    canvas.image.set(pixels.subarray(offset, offset + bytes)); // a view: much faster than a loop

    if (options.resizedCrop && !this.#cropped) {
      const { scale, ratio } = options.resizedCrop;
      random.seed(seed, Stage.resizedCrop, epoch, sample);
      drawCropBox(random, shape.width, shape.height, scale, ratio, box);
      resizeBox(canvas.image, canvas.spare, shape, box);
      swap(canvas);
    }
    if (options.padCrop > 0) {
      const padding = options.padCrop;
      random.seed(seed, Stage.padCrop, epoch, sample);
      const dx = random.below(2 * padding + 1) - padding;
      const dy = random.below(2 * padding + 1) - padding;
      shiftImage(canvas.image, canvas.spare, shape, dx, dy);
      swap(canvas);
    }
    if (options.flip && isFlipped(random, seed, epoch, sample)) {
      flipHorizontally(canvas.image, shape);
    }
    if (options.randAugment) {
      const { ops, magnitude } = options.randAugment;
      random.seed(seed, Stage.randAugment, epoch, sample);
      randAugment(canvas, shape, random, ops, magnitude, options.sampling);
    }
    if (options.cutout > 0) {
      random.seed(seed, Stage.cutout, epoch, sample);
      const x = random.below(shape.width);
      cutout(canvas.image, shape, x, random.below(shape.height), options.cutout);
    }
    if (options.erasing > 0) {
      random.seed(seed, Stage.erasing, epoch, sample);
      if (random.uniform() < options.erasing && drawErasedBox(random, shape, box)) {
        fillBox(canvas.image, shape, box);
      }
    }
    pixels.set(canvas.image, offset);
  }
}
