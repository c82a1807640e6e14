// Accuracy of anything that gives logits for pixels, so that a model and its exported forms are measured alike.
import type { Dataset } from '../data/types.js';
import { type ModelEvaluation, chooseImages } from '../inference/evaluate-model.js';
import { type OptionKinds, checkOptions } from '../option-checks.js';
import { sum } from '../statistics.js';

/** @param pixels - uint8 [batch, channels, height, width]; @returns logits [batch, classes] */
export type Classifier = (pixels: Uint8Array) => Float32Array | Promise<Float32Array>;

/** All that an evaluation measures. */
export type MeasuredAccuracy = Required<ModelEvaluation>;

export interface AccuracyOptions {
  readonly split?: 'train' | 'test';
  /** Default `64`. */
  readonly batchSize?: number;
  /** At most so many, evenly over the classes. All by default. */
  readonly images?: number | undefined;
  /** Of the choice of images. Default `0`. */
  readonly seed?: number;
  /** Stops between two batches: its reason is thrown. */
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number, total: number) => void;
}

const accuracyKinds: OptionKinds<AccuracyOptions> = {
  split: 'string',
  batchSize: 'number',
  images: 'number',
  seed: 'number',
  signal: 'object',
  onProgress: 'function',
};

/**
 * What `evaluateModel` measures, of several classifiers on the same images. An image of which a logit is NaN counts as
 * wrong, and the loss of its classifier is NaN.
 * @throws UsageError for options out of range; DataError if there are no images
 */
export async function measureAccuracy(
  classifiers: readonly Classifier[],
  dataset: Dataset,
  options: AccuracyOptions = {},
): Promise<MeasuredAccuracy[]> {
  checkOptions('measureAccuracy', options, accuracyKinds);
  const { split = 'test', batchSize = 64, images, seed = 0, signal, onProgress } = options;
  const chosen = chooseImages('measureAccuracy', dataset, { split, batchSize, images, seed });
  const classes = dataset.info.classes.length;
  const counts = classifiers.map(() => new Counts(classes));
  for (let from = 0; from < chosen.length; from += batchSize) {
    signal?.throwIfAborted();
    const size = Math.min(batchSize, chosen.length - from);
    const indices = Array.from({ length: size }, (_, i) => from + i);
    const pixels = await chosen.read(indices);
    for (const [index, classify] of classifiers.entries()) {
      const logits = await classify(pixels);
      indices.forEach((image, row) => {
        const values = logits.subarray(row * classes, (row + 1) * classes);
        counts[index]?.add(values, chosen.label(image));
      });
    }
    onProgress?.(from + size, chosen.length);
  }
  return counts.map((count) => count.result());
}

class Counts {
  #loss = 0;
  #among5 = 0;
  readonly #right: Float64Array;
  readonly #seen: Float64Array;

  readonly #classes: number;

  constructor(classes: number) {
    this.#classes = classes;
    this.#right = new Float64Array(classes);
    this.#seen = new Float64Array(classes);
  }

  add(logits: Float32Array, label: number): void {
    const own = logits[label] as number;
    const largest = Math.max(...logits);
    const sum = logits.reduce((total, value) => total + Math.exp(value - largest), 0);
    this.#loss += Math.log(sum) + largest - own;
    // Of equal logits the first counts as the likelier one, as in argmax.
    const place = logits.reduce(
      (before, value, i) => before + Number(value > own || (value === own && i < label)),
      0,
    );
    this.#seen[label] = (this.#seen[label] ?? 0) + 1;
    // No logit is above NaN, so that every class would be the likeliest one.
    if (logits.some(Number.isNaN)) return;
    if (place === 0) this.#right[label] = (this.#right[label] ?? 0) + 1;
    if (place < 5) this.#among5++;
  }

  result(): MeasuredAccuracy {
    const images = sum(this.#seen);
    return {
      loss: this.#loss / images,
      accuracy: sum(this.#right) / images,
      top5: this.#classes > 5 ? this.#among5 / images : null,
      images,
      classAccuracy: Array.from(this.#right, (right, i) => right / (this.#seen[i] ?? 0)),
    };
  }
}
