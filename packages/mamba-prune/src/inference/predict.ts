import { statSync } from 'node:fs';
import { F, type Tensor, fromTypedArray, noGrad, scope } from '@mamba-prune/libtorch';
import { DataError, errnoOf, reasonOf } from '../data/errors.js';
import { formatNames } from '../data/image-formats.js';
import { forEachLimited } from '../data/limit.js';
import { readPixels } from '../data/read-image.js';
import type { OnnxModel } from '../export/onnx-model.js';
import { explainingMemory } from '../memory.js';
import { checkInfo } from '../models/file-checks.js';
import type { ImageModel } from '../models/image-model.js';
import type { ModelInfo } from '../models/model-file.js';
import { rememberModes } from '../models/modes.js';
import {
  type PreparedInference,
  inferencePrecisionOn,
  prepareInference,
} from '../models/inference-precision.js';
import { checksOf, shown } from '../checks.js';
import { requireDevice } from '../device-check.js';
import { UsageError } from '../errors.js';
import { whyMissing } from '../files/missing.js';
import { type OptionKinds, checkOptions } from '../option-checks.js';
import { type Preprocessing, preprocessingOf } from '../preparation/preprocessing.js';
import type { InferencePrecision } from '../precision.js';

export interface ClassProbability {
  /** Place among the model's classes. */
  readonly index: number;
  readonly name: string;
  readonly probability: number;
}

export interface Prediction {
  readonly path: string;
  /** Most probable first; empty where the file could not be read. */
  readonly top: readonly ClassProbability[];
  /** Why the file could not be read. */
  readonly error?: string;
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
export interface PredictOnnxOptions extends Omit<PredictOptions, 'device' | 'precision'> {
  /** Names of the classes, where the file has none. By default the file's. */
  readonly classes?: readonly string[];
}

const onnxKinds: OptionKinds<PredictOnnxOptions> = {
  topK: predictKinds.topK,
  batchSize: predictKinds.batchSize,
  signal: predictKinds.signal,
  onProgress: predictKinds.onProgress,
  classes: 'array',
};

export interface PredictOptions {
  /** Classes per image; 5 unless given, never more than the model has. */
  readonly topK?: number;
  /** Images at a time. Default `64`. */
  readonly batchSize?: number;
  /** Where the model is. Default `cpu`. */
  readonly device?: string;
  /** In what the model computes, as for `evaluateModel`. Default `fp32`. */
  readonly precision?: InferencePrecision;
  /** Stops between two batches: its reason is thrown. */
  readonly signal?: AbortSignal;
  /** Called after each batch. */
  readonly onProgress?: (done: number, total: number) => void;
}

/**
 * Classifies image files, prepared as the model's file says, as `openDatasetFor` prepares those of a folder. A
 * file that is damaged or no image has an error in its place, and the others are classified.
 *
 * @param paths - JPEG, PNG, WebP, GIF, BMP, TIFF or PPM files
 * @throws DataError naming a file for which the model gives no numbers; UsageError for a file that does not exist,
 *   before any is read, for a topK below 1, or information that is not that of the model
 */
export async function predictImages(
  model: ImageModel,
  info: ModelInfo,
  paths: readonly string[],
  options: PredictOptions = {},
): Promise<Prediction[]> {
  checkOptions('predict', options, predictKinds);
  checkPaths(paths);
  requireDevice('predict', options.device);
  const { device = 'cpu' } = options;
  const { channels, imageSize: side, numClasses } = model.config;
  const precision = inferencePrecisionOn(device, options.precision ?? 'fp32');
  checkInfo('predict', model.config, info);
  const restoreModes = rememberModes(model);
  const input = { channels, size: side };
  const way = preprocessingOf(info, side);
  const prepared = prepareInference(model, device, precision, model.config.arch);
  try {
    return await predictBatches(paths, options, { ...info, numClasses, input, way }, (pixels) => {
      model.eval(); // for every batch: another prediction with the model may have ended, and put its modes back
      const memory = () => ({
        where: 'predict',
        batchSize: pixels.length,
        device,
        advice: 'Give fewer images at a time, or compute on the CPU (`device` cpu).',
      });
      const images = normalised(pixels, info);
      const shape = [pixels.length, channels, side, side];
      return explainingMemory(memory, () =>
        scope(() => noGrad(() => softmax(model, images, shape, device, prepared))),
      );
    });
  } finally {
    restoreModes();
    prepared.dispose();
  }
}

/** @throws UsageError for what JavaScript may give in place of a list of paths */
function checkPaths(paths: unknown): void {
  if (!Array.isArray(paths)) {
    throw new UsageError(
      `predict: got ${shown(paths)}, expected an array of the paths of image files.`,
    );
  }
  const wrong = paths.findIndex((path) => typeof path !== 'string');
  if (wrong < 0) return;
  throw new UsageError(
    `predict: got ${shown(paths[wrong])} as file ${wrong}, expected the path of an image file.`,
  );
}

/**
 * Classifies image files with an ONNX model, prepared as for `predictImages`.
 * @throws as `predictImages`
 */
export async function predictImagesOnnx(
  onnx: OnnxModel,
  paths: readonly string[],
  options: PredictOnnxOptions = {},
): Promise<Prediction[]> {
  checkOptions('predict', options, onnxKinds);
  checkPaths(paths);
  const { model } = onnx.description;
  const { classes = onnx.description.classes } = options;
  const { channels, imageSize: size, numClasses } = model;
  const input = { channels, size };
  const way = preprocessingOf(onnx.description, size);
  // Its graph normalises.
  return predictBatches(paths, options, { classes, numClasses, input, way }, async (pixels) => {
    const { probabilities } = await onnx.classify(joined(pixels));
    return probabilities;
  });
}

/** What a prediction needs to know of a model. */
interface Task {
  readonly classes: readonly string[];
  readonly numClasses: number;
  readonly input: { readonly channels: number; readonly size: number };
  readonly way: Preprocessing;
}

/** Files in memory at a time, which may be large. */
const readsAtOnce = 8;

/** @param classify - gives the probabilities [batch, classes] of images, uint8 [channels, size, size] each */
async function predictBatches(
  paths: readonly string[],
  { topK = 5, batchSize = 64, onProgress, signal }: PredictOptions,
  { classes, numClasses, input, way }: Task,
  classify: (pixels: readonly Uint8Array[]) => Float32Array | Promise<Float32Array>,
): Promise<Prediction[]> {
  const { integer } = checksOf('predict');
  integer('topK', topK, { min: 1 });
  integer('batchSize', batchSize, { min: 1 });
  checkExist(paths);
  const predictions: Prediction[] = [];
  for (let first = 0; first < paths.length; first += batchSize) {
    signal?.throwIfAborted();
    const batch = paths.slice(first, first + batchSize);
    const read: (Uint8Array | string)[] = [];
    await forEachLimited(batch.length, readsAtOnce, async (index) => {
      read[index] = await readOrSay(batch[index] ?? '', input, way);
    });
    const pixels = read.filter((result) => typeof result !== 'string');
    const probabilities = pixels.length === 0 ? undefined : await classify(pixels);
    let row = 0;
    read.forEach((result, index) => {
      const path = batch[index] ?? '';
      if (typeof result === 'string' || !probabilities) {
        predictions.push({ path, top: [], error: String(result) });
        return;
      }
      const values = probabilities.subarray(row * numClasses, (row + 1) * numClasses);
      row++;
      if (!values.every(Number.isFinite)) throw notNumbers(path);
      predictions.push({ path, top: best(values, topK, classes) });
    });
    onProgress?.(predictions.length, paths.length);
  }
  return predictions;
}

/** A name that is nobody's is a mistake in the call, and known before the work. */
function checkExist(paths: readonly string[]): void {
  const missing = paths.find((path) => statSync(path, { throwIfNoEntry: false }) === undefined);
  if (missing === undefined) return;
  throw new DataError(
    `predict: ${missing} ${whyMissing(missing)}, expected a ${formatNames} file.`,
    {
      file: missing,
      isUsage: true,
    },
  );
}

/** @returns the reason in place of pixels if the file is no image */
async function readOrSay(
  path: string,
  input: Task['input'],
  way: Preprocessing,
): Promise<Uint8Array | string> {
  try {
    return await readPixels(path, input, way);
  } catch (error) {
    if (error instanceof DataError || errnoOf(error) !== undefined) return reasonOf(error);
    throw error;
  }
}

function notNumbers(path: string): DataError {
  return new DataError(
    `predict: ${path}: the model gives probabilities that are NaN, expected numbers: a value inside the model ` +
      'is too large for its precision. Where that has 16 bits, take fp32 (`precision` fp32); else train the ' +
      'model again.',
    { file: path },
  );
}

/** [batch, channels, size, size] */
function joined(images: readonly Uint8Array[]): Uint8Array {
  const length = images.reduce((sum, image) => sum + image.length, 0);
  const all = new Uint8Array(length);
  let at = 0;
  for (const image of images) {
    all.set(image, at);
    at += image.length;
  }
  return all;
}

/** As `joined`, (pixel / 255 - mean) / std. */
function normalised(
  images: readonly Uint8Array[],
  { mean, std }: Pick<ModelInfo, 'mean' | 'std'>,
): Float32Array {
  const plane = (images[0]?.length ?? 0) / mean.length;
  return Float32Array.from(joined(images), (value, i) => {
    const channel = Math.floor(i / plane) % mean.length;
    return (value / 255 - (mean[channel] ?? 0)) / (std[channel] ?? 1);
  });
}

function softmax(
  model: ImageModel,
  pixels: Float32Array,
  shape: readonly number[],
  device: string,
  prepared: PreparedInference,
): Float32Array {
  const images: Tensor = fromTypedArray(pixels, shape).to(device).to(prepared.images);
  return F.atLeastFloat32(prepared.run(() => model.forward(images)))
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
