// What models say of test images.
import { type Dataset, type ImageSplit, loadModel } from 'mamba-prune';
import { evaluate, limitSplit } from 'mamba-prune/training';
import { BatchLoader } from 'mamba-prune/data';
import { withModelInfo } from 'mamba-prune/internal';

/** Of every image, in the order of the split. */
export interface Predictions {
  readonly classes: Int32Array;
  /** Of the class predicted, 0 to 1. */
  readonly probabilities: Float32Array;
  /** Share of right ones. */
  readonly accuracy: number;
}

export interface ClassifyOptions {
  readonly device: string;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

/** The test images that all models are shown: evenly over the classes, the same at every call. */
export const chooseImages = ({ test }: Dataset, images: number): ImageSplit =>
  limitSplit(test, images < test.length ? images : null, 0);

/**
 * @param path - model file
 * @param images - how many of the test images, as for `chooseImages`
 * @throws UsageError if the model does not fit the data; the signal's reason if it was stopped
 */
export async function classify(
  path: string,
  dataset: Dataset,
  images: number,
  { device, signal, onProgress }: ClassifyOptions,
): Promise<Predictions> {
  const { model, info } = loadModel(path);
  try {
    // Prepared and normalised as this model was trained; the choice of images is the same for all.
    const own = withModelInfo(dataset, info);
    const { info: shape } = own;
    const split = chooseImages(own, images);
    model.to(device);
    const loader = new BatchLoader(split, shape, { batchSize: 256 });
    const classes = new Int32Array(split.length);
    const probabilities = new Float32Array(split.length);
    let at = 0;
    const result = await evaluate(model, loader, shape, {
      device,
      signal,
      onProgress,
      onBatch: (logits) => {
        const { values, indices } = logits.softmax(-1).topk(1);
        classes.set(indices.toNumbers(), at);
        probabilities.set(values.toNumbers(), at);
        at += logits.shape[0] ?? 0;
      },
    });
    if (!result) throw signal?.reason ?? new Error('classify: stopped');
    return { classes, probabilities, accuracy: result.accuracy };
  } finally {
    model.dispose();
  }
}
