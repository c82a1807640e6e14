// A model file: one .safetensors whose metadata key `mamba_prune` says how to build the model.
import { closeSync, statSync } from 'node:fs';
import { FormatError, noGrad, saveSafetensors, scope } from '@mamba-prune/libtorch';
import {
  SafetensorsFile,
  dtypeFromFile,
  kindOfFile,
  openRegularFile,
  readSafetensorsTensor,
} from '@mamba-prune/libtorch/files';
import { z } from 'zod';
import { modelFileOf } from '../boxed-models.js';
import { UsageError } from '../errors.js';
import { whyMissing } from '../files/missing.js';
import { preprocessingSchema } from '../preparation/schema.js';
import { type OptionKinds, checkOptions, requirePath } from '../option-checks.js';
import {
  type StoredTensor,
  checkTensors,
  checkInfo,
  infoProblems,
  isCounter,
  withFileName,
} from './file-checks.js';
import { listed, printableLine } from '../printable.js';
import { familyNamed, moduleOf } from './families.js';
import { handedOnModule } from './handed-on.js';
import { checkFinite } from './finite.js';
import type { ImageModel } from './image-model.js';
import { requireModel } from './require-model.js';
import { createModelFromConfig } from './registry.js';
import { type StoredDtype, storedDtypes, withStoredWeights } from './stored-weights.js';

export const metadataKey = 'mamba_prune';

const modelInfoSchema = z.object({
  /** What was trained on. */
  dataset: z.string().optional(),
  /** The folder that it was in, absolute, where the data set has one. */
  data: z.string().optional(),
  /** Names of the classes, in the order of the logits. */
  classes: z.array(z.string()),
  /** Per channel, of pixel values scaled to [0, 1]. */
  mean: z.array(z.number()),
  std: z.array(z.number()),
  /** How images are resized and cut; files of versions before it have none: see `preprocessingOf`. */
  preprocessing: preprocessingSchema.optional(),
  /** How the model was made: one entry per step, the first is the training. */
  history: z.array(z.record(z.string(), z.unknown())),
});

/** What a model file holds beside the weights. */
export type ModelInfo = z.infer<typeof modelInfoSchema>;

const metadataSchema = modelInfoSchema.extend({
  format: z.literal(1),
  /** What registers the family of the model, where it is none of those that come with the program. */
  module: z.string().optional(),
  model: z.looseObject({
    family: z.string(),
    arch: z.string(),
    imageSize: z.int().positive(),
    channels: z.int().positive(),
    numClasses: z.int().positive(),
  }),
});

/** What a file says of its model: its configuration, and what ModelInfo has. */
export type ModelDescription = z.infer<typeof metadataSchema>;

/**
 * The description of a model that files have under `metadataKey`, as JSON.
 * @param module - what has to be loaded before such a model can be made; what runs by itself needs none
 * @throws UsageError for a description that no file could be read with
 */
export function modelMetadata(
  model: Pick<ImageModel, 'config'>,
  info: ModelInfo,
  module?: string,
): string {
  const metadata = {
    format: 1,
    ...(module !== undefined && { module }),
    model: model.config,
    ...info,
  };
  const parsed = metadataSchema.safeParse(metadata);
  if (!parsed.success) {
    throw new UsageError(
      `saveModel: the model's information is not complete:\n${z.prettifyError(parsed.error)}`,
    );
  }
  return JSON.stringify(metadata);
}

export interface SaveModelOptions {
  /**
   * What matrices and filters are rounded to in the file; all else stays float32. The file loads as float32, and has
   * about half the size with 16 bits. Default `float32`.
   */
  readonly dtype?: StoredDtype;
}

const saveKinds: OptionKinds<SaveModelOptions> = { dtype: 'string' };

/**
 * Writes a model atomically.
 * @throws UsageError for information that is not complete or not that of the model, or weights that are too large for
 *   16 bits; Error if the folder cannot be written
 */
export function saveModel(
  path: string,
  model: ImageModel,
  info: ModelInfo,
  options: SaveModelOptions = {},
): void {
  requirePath('saveModel', path, 'the file to write');
  requireModel('saveModel', model);
  checkOptions('saveModel', options, saveKinds);
  const { dtype = 'float32' } = options;
  if (!storedDtypes.includes(dtype)) {
    throw new UsageError(
      `saveModel: got dtype '${dtype as string}', expected one of ${listed(storedDtypes)}.`,
    );
  }
  const metadata = modelMetadata(model, info, moduleOf(model.config.family));
  checkInfo('saveModel', model.config, info);
  withStoredWeights('saveModel', model.stateDict(), dtype, (stored) => {
    saveSafetensors(path, stored, { [metadataKey]: metadata });
  });
}

/** As `saveModel`, for others: a family's module is named without the folder that it has on this machine. */
export function saveHandedOn(
  path: string,
  model: ImageModel,
  info: ModelInfo,
  dtype: StoredDtype,
): void {
  checkInfo('saveModel', model.config, info);
  const metadata = modelMetadata(model, info, handedOnModule(moduleOf(model.config.family)));
  withStoredWeights('saveModel', model.stateDict(), dtype, (stored) => {
    saveSafetensors(path, stored, { [metadataKey]: metadata });
  });
}

export interface LoadModelOptions {
  /** Takes weights that are NaN or infinite too, to look at them. By default they are refused. */
  readonly allowNotFinite?: boolean;
}

const loadKinds: OptionKinds<LoadModelOptions> = { allowNotFinite: 'boolean' };

/**
 * Reads a model file; the model is in evaluation mode, and its weights are float32 also where the file has 16 bits. What
 * the file says of the model is held against its tensors before anything is allocated.
 * @param path - the file, or a model of @mamba-prune/models such as `models:cifar10/mamba_small-90`
 * @throws FormatError naming the file if it is no safetensors file, or one of another program, if its
 *   tensors or its information do not fit its description, or if weights are NaN or infinite
 * @throws UsageError for no path, none of a file, or an option that there is not
 */
export function loadModel(
  path: string,
  options: LoadModelOptions = {},
): { model: ImageModel; info: ModelInfo } {
  requirePath('loadModel', path, 'a model file');
  checkOptions('loadModel', options, loadKinds);
  const file = modelFileOf(path);
  requireFile(file);
  return readModel(file, options);
}

/** What is a file may still be none of ours, which reading it tells. */
function requireFile(path: string): void {
  const stat = statSync(path, { throwIfNoEntry: false });
  const name = printableLine(path);
  if (stat === undefined) {
    throw new UsageError(
      `loadModel: ${name} ${printableLine(whyMissing(path))}, expected a model file, such as the model.safetensors in the folder of a run.`,
    );
  }
  if (!stat.isDirectory()) return;
  throw new UsageError(
    `loadModel: ${name} is a folder, expected a model file. Give the model.safetensors in it, or open the folder with openModel.`,
  );
}

function readModel(
  path: string,
  { allowNotFinite = false }: LoadModelOptions,
): ReturnType<typeof loadModel> {
  const file = openModelFile(path);
  try {
    const { model: config, module, ...info } = descriptionOf(file);
    requireFamily(path, config.family, module);
    const model = withFileName(
      path,
      () => {
        checkTensors(config, storedTensors(file));
        // What its initial values are made of goes with the scope.
        return scope(() => createModelFromConfig(config));
      },
      { isOurs: true },
    );
    try {
      readWeights(file, model);
      if (!allowNotFinite) {
        withFileName(path, () => {
          checkFinite(model.stateDict());
        });
      }
    } catch (error) {
      model.dispose();
      throw error;
    }
    model.eval();
    return { model, info: modelInfoSchema.parse(info) };
  } finally {
    file.close();
  }
}

/**
 * Holds what a model file says against its tensors, without reading these.
 * @throws FormatError as `loadModel`, but for weights that are no numbers; the system's error if it cannot
 *   be opened
 */
export function checkModelFile(path: string): void {
  const file = openModelFile(path);
  try {
    const { model, module } = descriptionOf(file);
    requireFamily(path, model.family, module);
    withFileName(
      path,
      () => {
        checkTensors(model, storedTensors(file));
      },
      { isOurs: true },
    );
  } finally {
    file.close();
  }
}

/** Nothing is wrong with the file: what registers its family was not loaded. */
class UnregisteredFamilyError extends FormatError {
  readonly isUsage = true;
}

/** @throws FormatError naming the file and the module to load */
function requireFamily(path: string, family: string, module: string | undefined): void {
  try {
    familyNamed({ family, module });
  } catch (error) {
    throw new UnregisteredFamilyError(`${path}: ${(error as Error).message}`, { cause: error });
  }
}

/** What makes a model file of another program's weights. */
const converted = (path: string): string =>
  `Convert it: mamba-prune export ${path} --out model.safetensors`;

/**
 * @throws FormatError naming what the file is if it is no safetensors file; the system's error if it cannot
 *   be opened
 */
function openModelFile(path: string): SafetensorsFile {
  const { fd, size } = openRegularFile(path, path);
  try {
    const { format, what, advice } = kindOfFile(fd, size, path);
    if (format !== 'safetensors' && format !== 'unknown') {
      const isTorch = format === 'torch-zip' || format === 'torch-legacy';
      throw new FormatError(
        `${path}: got ${what}, expected a model file (.safetensors) written by mamba-prune. ` +
          (isTorch ? converted(path) : advice),
      );
    }
  } finally {
    closeSync(fd);
  }
  return SafetensorsFile.open(path);
}

/**
 * Whether a safetensors file describes its model itself.
 * @throws FormatError if it is no safetensors file; the system's error if it cannot be opened
 */
export function isModelFile(path: string): boolean {
  const file = SafetensorsFile.open(path);
  try {
    return Object.hasOwn(file.metadata, metadataKey);
  } finally {
    file.close();
  }
}

/** What a file says of its model. @throws FormatError if it is none of ours */
function descriptionOf({ path, metadata }: SafetensorsFile): ModelDescription {
  const text = Object.hasOwn(metadata, metadataKey) ? metadata[metadataKey] : undefined;
  if (text === undefined) {
    throw new FormatError(
      `${path}: got a safetensors file without the metadata key '${metadataKey}', expected a model written by mamba-prune. ` +
        converted(path),
    );
  }
  return checkDescription(path, parseMetadata(path, text));
}

/** One tensor at a time, so that the file is never in memory a second time. */
function readWeights(file: SafetensorsFile, model: ImageModel): void {
  for (const [name, target] of model.stateDict()) {
    if (isCounter(name) && !file.has(name)) continue;
    scope(() => {
      noGrad(() => target.copy_(readSafetensorsTensor(file, name)));
    });
  }
}

/** What the header says of every tensor. */
function storedTensors(file: SafetensorsFile): Map<string, StoredTensor> {
  return new Map(
    file.names().map((name) => {
      const { dtype, shape } = file.info(name);
      return [name, { dtype: dtypeFromFile[dtype], shape }];
    }),
  );
}

/**
 * Whether the images and classes of a description are those of its model.
 * @throws FormatError naming the file
 */
export function checkDescription(path: string, description: ModelDescription): ModelDescription {
  const problems = infoProblems(description.model, description);
  if (problems.length === 0) return description;
  throw new FormatError(
    `${path}: the metadata key '${metadataKey}' does not describe one model: ${problems.join('; ')}. ` +
      'The file is damaged; export or train the model again.',
  );
}

/** @throws FormatError if the text does not describe a model */
export function parseMetadata(path: string, text: string): ModelDescription {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new FormatError(
      `${path}: the metadata key '${metadataKey}' is no JSON: ${(error as Error).message}`,
    );
  }
  const parsed = metadataSchema.safeParse(json);
  if (!parsed.success) {
    throw new FormatError(
      `${path}: the metadata key '${metadataKey}' does not describe a model:\n${z.prettifyError(parsed.error)}`,
    );
  }
  return parsed.data;
}
