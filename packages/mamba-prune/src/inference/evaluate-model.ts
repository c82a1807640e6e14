import { BatchLoader } from '../data/loader.js';
import type { Dataset } from '../data/types.js';
import { checkBatchNeed } from '../memory-need.js';
import type { ImageModel } from '../models/image-model.js';
import { type EvaluateOptions, type Evaluation, evaluate } from '../training/evaluate.js';
import { limitSplit } from '../training/batches.js';

export interface EvaluateModelOptions extends Pick<
  EvaluateOptions,
  'device' | 'precision' | 'signal' | 'onProgress'
> {
  /** Part of the data set. Default `test`. */
  readonly split?: 'train' | 'test';
  /** Default `256`. */
  readonly batchSize?: number;
  /** At most so many images, evenly over the classes. All by default. */
  readonly images?: number | undefined;
  /** Of the choice of images. Default `0`. */
  readonly seed?: number;
  /** Count right answers per class too. */
  readonly perClass?: boolean;
}

export interface ModelEvaluation extends Evaluation {
  /** Share of right answers among the images of each class, NaN where there are none. */
  readonly classAccuracy?: readonly number[];
}

/**
 * Accuracy and loss of a model on a data set, without augmentation.
 * @returns undefined if the signal stopped it
 * @throws TooLargeError if the machine has not enough memory for a batch
 */
export async function evaluateModel(
  model: ImageModel,
  dataset: Dataset,
  options: EvaluateModelOptions = {},
): Promise<ModelEvaluation | undefined> {
  const { split = 'test', batchSize = 256, images, seed = 0, perClass = false, ...rest } = options;
  const chosen = limitSplit(dataset[split], images ?? null, seed);
  const { channels, height, width } = dataset.info;
  const most = Math.min(batchSize, chosen.length);
  checkBatchNeed('eval', most, [channels, height, width], 'Give fewer (--batch-size).');
  const loader = new BatchLoader(chosen, dataset.info, { batchSize });
  const classes = dataset.info.classes.length;
  const right = perClass ? new Float64Array(classes) : undefined;
  const seen = new Float64Array(classes);
  const result = await evaluate(model, loader, dataset.info, {
    ...rest,
    onBatch: right
      ? (logits, labels) => {
          const expected = labels.toNumbers();
          const got = logits.argmax(-1).toNumbers();
          expected.forEach((label, i) => {
            seen[label] = (seen[label] ?? 0) + 1;
            if (got[i] === label) right[label] = (right[label] ?? 0) + 1;
          });
        }
      : undefined,
  });
  if (!result || !right) return result;
  return { ...result, classAccuracy: Array.from(right, (n, label) => n / (seen[label] ?? 0)) };
}
