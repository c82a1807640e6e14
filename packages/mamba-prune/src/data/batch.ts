/** From raw pixels to what a model takes: augmentation, mixing, normalisation, targets. */
import { Augmenter } from './augment/augmenter.js';
import { drawMix, type MixPlan, noMix } from './augment/mix.js';
import { EpochAugments, type LastAugment } from './augment/epoch-augments.js';
import type { AugmentOptions, ResolvedAugment } from './augment/options.js';
import { imageShape } from './augment/shape.js';
import { Random } from './random.js';
import type { DatasetInfo } from './types.js';

/** One step's worth of samples. The arrays belong to whoever got the batch. */
export interface Batch {
  /** [size, channels, height, width], normalised: (pixel / 255 - mean) / std */
  readonly images: Float32Array;
  /** [size], the samples' own classes. */
  readonly labels: Int32Array;
  /** [size, classes], rows sum to 1; given if and only if mixup or cutmix is asked for, in some epoch. */
  readonly targets?: Float32Array;
  readonly size: number;
  /** Of all workers' shares of the batch together; left out where the batch is whole. */
  readonly globalSize?: number;
  /** Number of the batch within its epoch. */
  readonly index: number;
}

/** What a batch is made from; plain data, so that it can go to another thread. */
export interface BatchJob {
  /** uint8 [n, channels, height, width]; used up */
  pixels: Uint8Array;
  /** Sample numbers, which the random choices hang on. */
  indices: Uint32Array;
  labels: Int32Array;
  epoch: number;
  index: number;
  /** Takes the result if it has the right length: memory in use costs no page faults. */
  images?: Float32Array;
}

/** Plain data too: what a maker is built from. */
export interface BatchRecipe {
  info: Pick<DatasetInfo, 'channels' | 'height' | 'width' | 'mean' | 'std'> & { classes: number };
  augment: AugmentOptions | undefined;
  lastAugment?: LastAugment | undefined;
  seed: number;
  /** The random resized crop is done while decoding. */
  cropped: boolean;
}

/** Per channel: (v / 255 - mean) / std as v * scale + bias. */
export function normalisation({ mean, std }: Pick<DatasetInfo, 'mean' | 'std'>): {
  scale: number[];
  bias: number[];
} {
  return {
    scale: std.map((of) => 1 / (255 * of)),
    bias: std.map((of, c) => -(mean[c] as number) / of),
  };
}

/** Makes batches; the same job always gives the same bits. */
export class BatchMaker {
  /** What is done in which epoch. */
  readonly augments: EpochAugments;
  readonly #augmenters = new Map<ResolvedAugment, Augmenter>();
  readonly #random: Random;
  readonly #plan: MixPlan = noMix();
  readonly #scale: number[];
  readonly #bias: number[];

  readonly #recipe: BatchRecipe;

  /** @param newRandom - makes what draws: one for the mixing, and one for each way to augment */
  constructor(recipe: BatchRecipe, newRandom = (): Random => new Random()) {
    this.#recipe = recipe;
    this.#random = newRandom();
    const { info, augment, lastAugment, seed, cropped } = recipe;
    this.augments = new EpochAugments(augment, info, lastAugment);
    if (augment ?? lastAugment) {
      for (const options of new Set([this.augments.first, this.augments.last])) {
        const shape = imageShape(info);
        this.#augmenters.set(options, new Augmenter(options, shape, seed, cropped, newRandom()));
      }
    }
    ({ scale: this.#scale, bias: this.#bias } = normalisation(info));
  }

  make(job: BatchJob): Batch {
    const { info, seed } = this.#recipe;
    const { pixels, indices, labels, epoch, index } = job;
    const size = indices.length;
    const bytes = info.channels * info.height * info.width;
    const options = this.augments.at(epoch);
    const augmenter = this.#augmenters.get(options);
    if (augmenter) {
      for (let i = 0; i < size; i++) {
        augmenter.apply(pixels, i * bytes, epoch, indices[i] as number);
      }
    }
    const plan = this.#plan;
    const random = this.#random;
    const key = { seed, epoch, batch: index };
    drawMix(plan, options, random, key, size, info.height, info.width);
    const images = this.#normalise(pixels, size, job.images);
    if (!this.augments.haveTargets) return { images, labels, size, index };
    return { images, labels, targets: this.#targets(labels), size, index };
  }

  #normalise(pixels: Uint8Array, size: number, room?: Float32Array): Float32Array {
    const plan = this.#plan;
    const { channels, height, width } = this.#recipe.info;
    const plane = height * width;
    const bytes = channels * plane;
    // Every value is written, so what was in it does not matter.
    const images = room?.length === size * bytes ? room : new Float32Array(size * bytes);
    for (let i = 0; i < size; i++) {
      const partner = (i + plan.shift) % size;
      for (let c = 0; c < channels; c++) {
        const scale = this.#scale[c] as number;
        const bias = this.#bias[c] as number;
        const start = i * bytes + c * plane;
        const end = start + plane;
        const away = (partner - i) * bytes; // from a pixel to the partner's
        if (plan.kind === 'mixup') {
          const { lambda } = plan;
          for (let p = start; p < end; p++) {
            const v = lambda * (pixels[p] as number) + (1 - lambda) * (pixels[p + away] as number);
            images[p] = v * scale + bias;
          }
          continue;
        }
        for (let p = start; p < end; p++) images[p] = (pixels[p] as number) * scale + bias;
        if (plan.kind === 'none') continue;
        for (let y = plan.top; y < plan.bottom; y++) {
          const row = start + y * width;
          for (let p = row + plan.left; p < row + plan.right; p++) {
            images[p] = (pixels[p + away] as number) * scale + bias;
          }
        }
      }
    }
    return images;
  }

  #targets(labels: Int32Array): Float32Array {
    const { classes } = this.#recipe.info;
    const { lambda, shift } = this.#plan;
    const targets = new Float32Array(labels.length * classes);
    for (let i = 0; i < labels.length; i++) {
      const own = i * classes + (labels[i] as number);
      const other = i * classes + (labels[(i + shift) % labels.length] as number);
      targets[own] = lambda;
      // The same place if both are of one class: then the two shares add up to 1.
      if (lambda < 1) targets[other] = own === other ? 1 : 1 - lambda;
    }
    return targets;
  }
}
