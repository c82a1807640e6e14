// Batches that are mirrored and normalised and no more, as most trainings on photographs want them: the threads that decode
// do both. The thread of JavaScript only draws what is mirrored.
import { isFlipped } from './augment/augmenter.js';
import type { EpochAugments } from './augment/epoch-augments.js';
import { type Batch, type BatchJob, type BatchRecipe, normalisation } from './batch.js';
import { type ImageAddon, imageAddon } from './image-addon.js';
import { Random } from './random.js';

/** Gives the bits of a `BatchMaker`. */
export class PlainBatches {
  readonly #recipe: BatchRecipe;
  readonly #augments: EpochAugments;
  readonly #random = new Random();
  /** What a byte becomes: [channels, 256]. */
  readonly #tables: Float32Array;

  constructor(recipe: BatchRecipe, augments: EpochAugments) {
    this.#recipe = recipe;
    this.#augments = augments;
    const { scale, bias } = normalisation(recipe.info);
    const { channels } = recipe.info;
    this.#tables = Float32Array.from(
      { length: channels * 256 },
      (_, i) => (i % 256) * (scale[i >> 8] as number) + (bias[i >> 8] as number),
    );
  }

  /** @returns what makes the batches of an epoch, or null where more is done to its images, or the addon is not there */
  makerOf(epoch: number): ((job: BatchJob) => Promise<Batch>) | null {
    const { resizedCrop, padCrop, randAugment, cutout, erasing } = this.#augments.at(epoch);
    const isCut = resizedCrop === undefined || this.#recipe.cropped;
    const isChanged = padCrop > 0 || randAugment !== undefined || cutout > 0 || erasing > 0;
    if (!isCut || isChanged || this.#augments.haveTargets) return null;
    const addon = imageAddon();
    return addon && ((job) => this.#make(job, addon));
  }

  async #make(job: BatchJob, addon: ImageAddon): Promise<Batch> {
    const { seed, info } = this.#recipe;
    const { channels, height, width } = info;
    const { pixels, indices, labels, epoch, index } = job;
    const { flip } = this.#augments.at(epoch);
    const flipped = Uint8Array.from(indices, (sample) =>
      Number(flip && isFlipped(this.#random, seed, epoch, sample)),
    );
    const images =
      job.images?.length === pixels.length ? job.images : new Float32Array(pixels.length);
    const how = { channels, height, width, tables: this.#tables, flipped };
    await addon.imageFloats(pixels, how, images);
    return { images, labels, size: indices.length, index };
  }
}
