/** Accuracy and loss of a model on a data set. */
import { checksOf } from '../checks.js';
import { requireDevice } from '../device-check.js';
import { checkedSplit } from '../data/checked-split.js';
import { DataError } from '../data/errors.js';
import { requireDataset } from '../data/require-dataset.js';
import { BatchLoader } from '../data/loader.js';
import type { Dataset, ImageSplit } from '../data/types.js';
import { checkBatchNeed } from '../memory-need.js';
import type { ImageModel } from '../models/image-model.js';
import { inferencePrecisionOn, prepareInference } from '../models/inference-precision.js';
import { requireModel } from '../models/require-model.js';
import { type OptionKinds, checkOptions } from '../option-checks.js';
import type { InferencePrecision, Precision } from '../precision.js';
import { limitSplit } from '../training/batches.js';
import { type EvaluateOptions, type Evaluation, deviceOf, evaluate } from '../training/evaluate.js';

export interface EvaluateModelOptions extends Pick<
  EvaluateOptions,
  'device' | 'signal' | 'onProgress'
> {
  /**
   * In what the model computes. Default `fp32`. On a CPU `bf16` and `int8` are for the products within the blocks of a
   * Mamba, Vim or ViT, on processors that have them; other models have activations of 16 bits in `bf16`.
   */
  readonly precision?: InferencePrecision | undefined;
  /** @internal The model computes as in training, on a CPU too: activations have 16 bits in `bf16`. Default `false` */
  readonly asInTraining?: boolean;
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

const evaluateModelKinds: OptionKinds<EvaluateModelOptions> = {
  device: 'string',
  precision: 'string',
  asInTraining: 'boolean',
  signal: 'object',
  onProgress: 'function',
  split: 'string',
  batchSize: 'number',
  images: 'number',
  seed: 'number',
  perClass: 'boolean',
};

/** The loss of a model is no number: one of its logits is not. */
export class NotFiniteError extends Error {
  override readonly name = 'NotFiniteError';

  readonly loss: number;
  /** Which they were: "test images of cifar10". */
  readonly images: string;

  /** @param where - with which the message begins */
  constructor(where: string, loss: number, images: string) {
    super(
      `${where}: got a loss of ${loss} on the ${images}, expected a number: a value inside the model is too large ` +
        'for its precision. Where that has 16 bits, take fp32 (`precision` fp32); else train the model again.',
    );
    this.loss = loss;
    this.images = images;
  }

  /** The same with another beginning. */
  of(where: string): NotFiniteError {
    return new NotFiniteError(where, this.loss, this.images);
  }
}

/** For `catch`: the same error, where it is of a loss that is no number with another beginning. */
export const namingNotFinite =
  (where: string) =>
  (error: unknown): never => {
    throw error instanceof NotFiniteError ? error.of(where) : error;
  };

/** What an evaluation sees of a data set, in the order it does. */
export interface EvaluatedPart {
  readonly split?: 'train' | 'test' | undefined;
  readonly batchSize?: number | undefined;
  readonly images?: number | undefined;
  readonly seed?: number | undefined;
}

/**
 * The images that are evaluated, evenly over the classes.
 * @throws UsageError for options out of range; DataError if there are no images
 */
export function chooseImages(where: string, dataset: Dataset, part: EvaluatedPart): ImageSplit {
  const { integer, oneOf } = checksOf(where);
  const { split = 'test', batchSize = 1, images, seed = 0 } = part;
  oneOf('split', split, ['train', 'test']);
  integer('batchSize', batchSize, { min: 1 });
  if (images !== undefined) integer('images', images, { min: 1 });
  integer('seed', seed, { min: 0 });
  if (dataset[split].length === 0) {
    throw new DataError(
      `${where}: got no ${split} images of ${dataset.info.name}, expected at least one. Choose the other split, or ` +
        'add images.',
    );
  }
  const checked = checkedSplit(`${where}: ${split}`, dataset[split], dataset.info);
  return limitSplit(checked, images ?? null, seed);
}

/**
 * Accuracy and loss of a model on a data set, without augmentation. Its images are taken as they were opened: `openDatasetFor`
 * opens them as the model's file says.
 * @returns undefined if the signal stopped it, which happens only where there is one
 * @throws UsageError for options out of range; DataError if there are no images; NotFiniteError if the loss is
 *   no number; TooLargeError if the machine has not enough memory for a batch
 */
export async function evaluateModel(
  model: ImageModel,
  dataset: Dataset,
  options?: EvaluateModelOptions & { readonly signal?: undefined },
): Promise<ModelEvaluation>;
export async function evaluateModel(
  model: ImageModel,
  dataset: Dataset,
  options?: EvaluateModelOptions,
): Promise<ModelEvaluation | undefined>;
export async function evaluateModel(
  model: ImageModel,
  dataset: Dataset,
  options: EvaluateModelOptions = {},
): Promise<ModelEvaluation | undefined> {
  requireModel('evaluateModel', model);
  requireDataset('evaluateModel', dataset);
  checkOptions('evaluateModel', options, evaluateModelKinds);
  requireDevice('evaluateModel', options.device);
  const { split = 'test', batchSize = 256, images, seed = 0, perClass = false } = options;
  const { device = deviceOf(model), signal, onProgress, asInTraining = false } = options;
  const precision = inferencePrecisionOn(device, options.precision ?? 'fp32');
  const chosen = chooseImages('evaluateModel', dataset, { split, batchSize, images, seed });
  const { channels, height, width } = dataset.info;
  const most = Math.min(batchSize, chosen.length);
  checkBatchNeed('eval', most, [channels, height, width], 'Give fewer (`batchSize`).');
  const loader = new BatchLoader(chosen, dataset.info, { batchSize });
  const classes = dataset.info.classes.length;
  const right = perClass ? new Float64Array(classes) : undefined;
  const seen = new Float64Array(classes);
  const prepared =
    asInTraining && precision !== 'int8'
      ? undefined
      : prepareInference(model, device, precision, model.config.arch);
  const result = await evaluate(model, loader, dataset.info, {
    device,
    precision: prepared?.imagePrecision ?? (precision as Precision),
    hasCopies: prepared !== undefined,
    run: prepared?.run,
    signal,
    onProgress,
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
  }).finally(() => {
    prepared?.dispose();
  });
  if (result && !Number.isFinite(result.loss)) {
    const what = `${split} images of ${dataset.info.name}`;
    throw new NotFiniteError('evaluateModel', result.loss, what);
  }
  if (!result || !right) return result;
  return { ...result, classAccuracy: Array.from(right, (n, label) => n / (seen[label] ?? 0)) };
}
