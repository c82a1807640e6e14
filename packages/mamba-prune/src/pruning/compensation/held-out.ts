// Which images judge a compensation, and by what: how far the class probabilities of the cut model are from the dense one's.
import { type Tensor, noGrad, scope } from '@mamba-prune/libtorch';
import type { ImageModel } from '../../models/image-model.js';
import { inEvaluation } from '../calibration.js';
import { heldOutEvery } from './choices.js';

/** As `Calibration`, which gives labels too: they are freed and not looked at. */
export type CalibrationImages = () => AsyncIterable<ImageBatch>;

export interface ImageBatch {
  /** Normalised, shape [n, channels, height, width], on the models' device and of their type. */
  readonly images: Tensor;
  readonly labels?: Tensor;
}

/**
 * Of a batch, the images that are fitted and those that are held out: every fifth of all.
 * @param first - number of the batch's first image, from the first batch on
 */
export function divided(
  first: number,
  count: number,
): { readonly fitted: number[]; readonly heldOut: number[] } {
  const all = Array.from({ length: count }, (_, i) => i);
  const isHeldOut = (i: number): boolean => (first + i) % heldOutEvery === heldOutEvery - 1;
  return { fitted: all.filter((i) => !isHeldOut(i)), heldOut: all.filter(isHeldOut) };
}

/** Compares models with a dense one, without labels. Whoever makes it disposes it. */
export class Judge {
  readonly #images: CalibrationImages;
  /** Log-probabilities of the dense model on the images held out, batch by batch. */
  readonly #dense: readonly Tensor[];
  /** Of all batches together, those that are fitted too. */
  readonly images: number;
  readonly batches: number;

  private constructor(calibration: CalibrationImages, { found, images, batches }: Predictions) {
    this.#images = calibration;
    this.#dense = found;
    this.images = images;
    this.batches = batches;
  }

  static async of(dense: ImageModel, images: CalibrationImages): Promise<Judge> {
    return new Judge(images, await predictions(dense, images));
  }

  get heldOut(): number {
    return this.#dense.reduce((sum, part) => sum + part.size(0), 0);
  }

  /** Mean Kullback-Leibler divergence of a model's class probabilities from the dense one's, in nats. */
  async divergence(model: ImageModel): Promise<number> {
    const { found } = await predictions(model, this.#images);
    let sum = 0;
    found.forEach((own, i) => {
      const dense = this.#dense[i] as Tensor;
      sum += scope(() => dense.exp().mul(dense.sub(own)).sum().item());
      own.dispose();
    });
    return sum / this.heldOut;
  }

  dispose(): void {
    for (const part of this.#dense) part.dispose();
  }
}

interface Predictions {
  readonly found: readonly Tensor[];
  readonly images: number;
  readonly batches: number;
}

/** Log-probabilities, float64 [images held out, classes], of every batch that has such images. */
async function predictions(
  model: ImageModel,
  calibration: CalibrationImages,
): Promise<Predictions> {
  const found: Tensor[] = [];
  let count = 0;
  let batches = 0;
  try {
    for await (const batch of calibration()) {
      const { images } = batch;
      try {
        const size = images.size(0);
        const { heldOut } = divided(count, size);
        count += size;
        batches++;
        if (heldOut.length === 0) continue;
        scope(() => {
          const logits = inEvaluation(model, () =>
            noGrad(() => model.forward(images.indexSelect(0, heldOut))),
          );
          found.push(logits.to('float64').logSoftmax(1).keep());
        });
      } finally {
        freeBatch(batch);
      }
    }
  } catch (error) {
    for (const part of found) part.dispose();
    throw error;
  }
  return { found, images: count, batches };
}

/** Whoever consumes a batch frees its tensors, labels too where there are some. */
export function freeBatch(batch: ImageBatch): void {
  batch.images.dispose();
  batch.labels?.dispose();
}
