import { F, type Tensor, fromTypedArray, noGrad, scope } from '@mamba-prune/libtorch';
import { DataError } from '../data/errors.js';
import { readImage } from '../data/read-image.js';
import { UsageError } from '../errors.js';
import type { OnnxModel } from '../export/onnx/onnx-model.js';
import { explainingMemory } from '../memory.js';
import { checkInfo } from '../models/file-checks.js';
import type { ImageModel } from '../models/image-model.js';
import type { ModelInfo } from '../models/model-file.js';
import { rememberModes } from '../models/modes.js';
import { imageType, precisionOn, weightCopies } from '../models/precision.js';
import { type OptionKinds, checkOptions } from '../option-checks.js';
import type { ComputePrecision, Precision } from '../precision.js';

export interface ClassProbability {
  /** Place among the model's classes. */
  readonly index: number;
  readonly name: string;
  readonly probability: number;
}

export interface Prediction {
  readonly path: string;
  /** Most probable first. */
  readonly top: readonly ClassProbability[];
}

const predictKinds: OptionKinds<PredictOptions> = {
  topK: 'number',
  batchSize: 'number',
  device: 'string',
  precision: 'string',
  signal: 'object',
  onProgress: 'function',
};

/** onnxruntime has its own device and precision. */
const onnxKinds: OptionKinds<Omit<PredictOptions, 'device' | 'precision'>> = {
  topK: predictKinds.topK,
  batchSize: predictKinds.batchSize,
  signal: predictKinds.signal,
  onProgress: predictKinds.onProgress,
};

export interface PredictOptions {
  /** Classes per image; 5 unless given, never more than the model has. */
  readonly topK?: number;
  /** Images at a time; 64 unless given. */
  readonly batchSize?: number;
  /** Where the model is; `cpu` unless given. */
  readonly device?: string;
  /** In what the model computes; fp32 unless given. */
  readonly precision?: Precision;
  /** Stops between two batches: its reason is thrown. */
  readonly signal?: AbortSignal;
  /** Called after each batch. */
  readonly onProgress?: (done: number, total: number) => void;
}

/**
 * Classifies image files: each is resized (shorter side), cropped to the centre, made grey if the
 * model has one channel, and normalised as the model's file says.
 *
 * @param paths - JPEG, PNG or WebP files
 * @throws DataError naming a file that is no image, or for which the model gives no numbers; UsageError for a
 *   topK below 1, or information that is not that of the model
 */
export async function predictImages(
  model: ImageModel,
  info: ModelInfo,
  paths: readonly string[],
  options: PredictOptions = {},
): Promise<Prediction[]> {
  checkOptions('predict', options, predictKinds);
  const { device = 'cpu' } = options;
  const { channels, imageSize: side, numClasses } = model.config;
  const precision = precisionOn(device, options.precision ?? 'fp32');
  checkInfo('predict', model.config, info);
  const restoreModes = rememberModes(model);
  const format = imageFormat(model.config, info);
  const copies = weightCopies(model, precision, { fixed: true });
  model.eval();
  try {
    return await predictBatches(paths, options, { ...info, numClasses }, async (batch) => {
      const images = await Promise.all(batch.map((path) => readImage(path, format)));
      const memory = () => ({
        where: 'predict',
        batchSize: batch.length,
        device,
        advice: 'Give fewer images at a time, or compute on the CPU (--device cpu).',
      });
      return explainingMemory(memory, () =>
        scope(() =>
          noGrad(() =>
            softmax(model, joined(images), [batch.length, channels, side, side], device, precision),
          ),
        ),
      );
    });
  } finally {
    restoreModes();
    copies?.dispose();
  }
}

/**
 * Classifies image files with an ONNX model, prepared as for `predictImages`.
 * @throws as `predictImages`
 */
export async function predictImagesOnnx(
  onnx: OnnxModel,
  paths: readonly string[],
  options: Omit<PredictOptions, 'device' | 'precision'> = {},
): Promise<Prediction[]> {
  checkOptions('predict', options, onnxKinds);
  const { model, classes } = onnx.description;
  const { channels } = model;
  // Its graph normalises; a mean of 0 and this deviation leave the pixels as they are, 0 to 255.
  const asTheyAre = {
    mean: Array.from({ length: channels }, () => 0),
    std: Array.from({ length: channels }, () => 1 / 255),
  };
  const format = imageFormat(model, asTheyAre);
  const { numClasses } = model;
  return predictBatches(paths, options, { classes, numClasses }, async (batch) => {
    const images = await Promise.all(batch.map((path) => readImage(path, format)));
    const { probabilities } = await onnx.classify(Uint8Array.from(joined(images), Math.round));
    return probabilities;
  });
}

/** How `readImage` makes an image for a model. */
function imageFormat(
  { channels, imageSize: side }: Pick<ImageModel['config'], 'channels' | 'imageSize'>,
  { mean, std }: Pick<ModelInfo, 'mean' | 'std'>,
) {
  return { channels: channels === 1 ? 1 : 3, height: side, width: side, mean, std } as const;
}

/** @param classify - gives the probabilities [batch, classes] of some files */
async function predictBatches(
  paths: readonly string[],
  { topK = 5, batchSize = 64, onProgress, signal }: PredictOptions,
  { classes, numClasses }: { readonly classes: readonly string[]; readonly numClasses: number },
  classify: (batch: readonly string[]) => Promise<Float32Array>,
): Promise<Prediction[]> {
  if (!Number.isInteger(topK) || topK < 1) {
    throw new UsageError(`predict: top-k: got ${topK}, expected an integer from 1.`);
  }
  if (!Number.isInteger(batchSize) || batchSize < 1) {
    throw new UsageError(`predict: batch size: got ${batchSize}, expected an integer from 1.`);
  }
  const predictions: Prediction[] = [];
  for (let first = 0; first < paths.length; first += batchSize) {
    signal?.throwIfAborted();
    const batch = paths.slice(first, first + batchSize);
    const probabilities = await classify(batch);
    batch.forEach((path, row) => {
      const values = probabilities.subarray(row * numClasses, (row + 1) * numClasses);
      if (!values.every(Number.isFinite)) throw notNumbers(path);
      predictions.push({ path, top: best(values, topK, classes) });
    });
    onProgress?.(predictions.length, paths.length);
  }
  return predictions;
}

function notNumbers(path: string): DataError {
  return new DataError(
    `predict: ${path}: the model gives probabilities that are NaN, expected numbers: a value inside the model ` +
      'is too large for its precision. Where that has 16 bits, take fp32 (--precision fp32); else train the ' +
      'model again.',
    { file: path },
  );
}

function joined(arrays: readonly Float32Array[]): Float32Array {
  const length = arrays.reduce((sum, array) => sum + array.length, 0);
  const all = new Float32Array(length);
  let at = 0;
  for (const array of arrays) {
    all.set(array, at);
    at += array.length;
  }
  return all;
}

function softmax(
  model: ImageModel,
  pixels: Float32Array,
  shape: readonly number[],
  device: string,
  precision: ComputePrecision,
): Float32Array {
  const images: Tensor = fromTypedArray(pixels, shape).to(device).to(imageType(precision));
  return F.atLeastFloat32(model.forward(images))
    .softmax(-1)
    .to('cpu')
    .toTypedArray() as Float32Array;
}

function best(
  probabilities: Float32Array,
  count: number,
  classes: readonly string[],
): ClassProbability[] {
  return Array.from(probabilities, (probability, index) => ({
    index,
    name: classes[index] ?? `class ${index}`,
    probability,
  }))
    .sort((a, b) => b.probability - a.probability || a.index - b.index)
    .slice(0, count);
}
