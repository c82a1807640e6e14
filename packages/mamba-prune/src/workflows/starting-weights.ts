// A training that begins with given weights, in place of random ones.
import { scope } from '@mamba-prune/libtorch';
import type { Dataset } from '../data/types.js';
import { defined } from '../defined.js';
import { UsageError, isUsageError } from '../errors.js';
import type { ModelOptions } from '../models/model-options.js';
import type { ImageModel, ModelConfigBase } from '../models/image-model.js';
import type { ImportOptions } from '../models/import/model.js';
import { ownSizes } from '../models/import/read.js';
import type { ModelInfo } from '../models/model-file.js';
import { createModelFromConfig } from '../models/registry.js';
import { type Preprocessing, preprocessingOf } from '../preparation/preprocessing.js';
import { shownFile } from '../hub/shown-file.js';
import { orderClassifier } from './class-order.js';
import { checkSplit } from './fit.js';
import { type OpenedModelFile, openModelFile } from './open-model-file.js';

export interface StartingModel {
  readonly model: ImageModel;
  /** What the user should know about the weights; none if they were taken as they are. */
  readonly notes: readonly string[];
  /** How the weights were imported and cut: the beginning of the model's history. */
  readonly origin: ModelInfo['history'];
  /** How the images of the model were prepared, as far as its file, or one beside it, says so. */
  readonly preparation: Partial<Preprocessing>;
}

/** What of an imported model is the data's in a training, whatever the file says. */
const ofTheData = /^(imageSize|mean|std|classes|interpolation|cropShare)\b/;

/** What nobody says of an imported model is not known of it: then the data decide. */
function preparationOf(
  { info, isOurs, assumed }: Pick<OpenedModelFile, 'info' | 'isOurs' | 'assumed'>,
  imageSize: number,
): Partial<Preprocessing> {
  const said = preprocessingOf(info, imageSize);
  if (isOurs) return said;
  const isTold = (name: keyof Preprocessing): boolean =>
    !assumed.some((text) => text.startsWith(`${name} `));
  return {
    ...(isTold('interpolation') && { interpolation: said.interpolation }),
    ...(isTold('cropShare') && { cropShare: said.cropShare }),
  };
}

/** What files beside weights say of images and classes is no lie, and not what a training takes. */
function withData(notes: readonly string[]): readonly string[] {
  const ofImages = /^Taken from .*(?:`(?:mean|std|imageSize)`|the names of \d)/;
  return notes.some((note) => ofImages.test(note))
    ? [
        ...notes,
        'In a training classes, mean and deviation are those of the data, whatever these files say.',
      ]
    : notes;
}

/**
 * A model with the weights of a file: one of ours, of any widths, or a state dict in timm's,
 * torchvision's or the PyTorch vision Mamba's layout. Where the data have another number of classes
 * the classifier is initialised anew, from the default random generator.
 *
 * @param arch - checked against the file. By default found from it.
 * @param options - what the file does not tell; checked where it does
 * @param said - how the file is to be read, if another program wrote it
 * @returns the caller's to dispose
 * @throws UsageError if the weights are not for these images, or not those of `arch`; FormatError if
 *   the file is damaged or of no known layout
 */
export async function modelFromWeights(
  path: string,
  { info }: Pick<Dataset, 'info'>,
  {
    arch,
    options = {},
    import: said = {},
  }: {
    readonly arch?: string | undefined;
    readonly options?: ModelOptions;
    readonly import?: ImportOptions | undefined;
  } = {},
): Promise<StartingModel> {
  // Widths are read off the weights, and what dropout there is belongs to the training.
  const { dropPath } = options;
  const sizes = { ...options, expand: undefined, mlpRatio: undefined, dropPath: undefined };
  const opened = await openForImages(
    path,
    { ...said, ...defined({ arch, ...sizes }) },
    info.height,
  );
  const { model: given, info: givenInfo } = opened;
  const notes = withData(opened.notes);
  const file = shownFile(path);
  const ofTheWeights = opened.assumed.filter((text) => !ofTheData.test(text));
  let model: ImageModel | undefined;
  try {
    const { config } = given;
    checkSplit(info, givenInfo);
    if (config.channels !== info.channels) {
      throw new UsageError(
        `${path}: got weights for images with ${config.channels} channels, expected ${info.channels}, as those of ${info.name} have.`,
      );
    }
    const numClasses = info.classes.length;
    const wanted: ModelConfigBase = {
      ...config,
      ...(dropPath !== undefined && { dropPath }),
      imageSize: info.height,
      numClasses,
    };
    model = createModelFromConfig(wanted);
    const anew = copyMatching(path, given, model, opened);
    const order = orderClassifier(model, info, givenInfo.classes);
    return {
      model,
      preparation: preparationOf(opened, config.imageSize),
      origin: originOf(givenInfo).map((step) =>
        step['step'] === 'import' ? { ...step, assumed: ofTheWeights } : step,
      ),
      notes: [
        ...notes.map((note) => `${file}: ${note}`),
        ...ofTheWeights.map((text) => `${file} does not tell everything. Assumed: ${named(text)}.`),
        ...(anew.length === 0 ? [] : [newHeadNote(anew, config, info)]),
        ...(order === undefined ? [] : [order]),
      ],
    };
  } catch (error) {
    model?.dispose();
    throw error;
  } finally {
    given.dispose();
  }
}

/** What a user should know of a classifier that was made anew. @param anew - names of its tensors */
export const newHeadNote = (
  anew: readonly string[],
  { numClasses }: Pick<ModelConfigBase, 'numClasses'>,
  { name, classes }: Pick<Dataset['info'], 'name' | 'classes'>,
): string =>
  `The classifier (${anew.join(', ')}) begins with random weights: it was made for ${numClasses} classes, and ${name} has ` +
  `${classes.length}.`;

/**
 * The same model for another number of classes: its classifier is initialised anew, from the default random generator.
 * @param path - of the weights, for errors
 * @returns the caller's to dispose, with the names of the tensors that are new
 */
export function withNewHead(
  path: string,
  given: ImageModel,
  numClasses: number,
): { readonly model: ImageModel; readonly anew: readonly string[] } {
  const wanted: ModelConfigBase = { ...given.config, numClasses };
  const model = createModelFromConfig(wanted);
  try {
    return { model, anew: copyMatching(path, given, model) };
  } catch (error) {
    model.dispose();
    throw error;
  }
}

/** What of a model's history is true of it whatever it is trained on: where it comes from, and which units it has. */
export function originOf({ history }: Pick<ModelInfo, 'history'>): ModelInfo['history'] {
  const imported = history.findLastIndex(({ step }) => step === 'import');
  return history
    .slice(Math.max(imported, 0))
    .filter(({ step }) => step === 'import' || step === 'prune');
}

/** @returns names of the tensors that were left as they are: those of the classifier */
function copyMatching(
  path: string,
  given: ImageModel,
  model: ImageModel,
  { isOurs = false }: { readonly isOurs?: boolean } = {},
): string[] {
  const own = model.stateDict();
  const weights = given.stateDict();
  const [before, now] = [given.config.numClasses, model.config.numClasses];
  const different = Array.from(own).filter(
    ([name, { shape }]) => String(weights.get(name)?.shape) !== String(shape),
  );
  for (const [name, { shape }] of different) {
    const [first, ...rest] = weights.get(name)?.shape ?? [];
    const isClassifier = first === before && String([now, ...rest]) === String(shape);
    if (isClassifier && before !== now) continue;
    throw new UsageError(
      `${path}: its ${name} is [${[first, ...rest].join(', ')}], but the images need [${shape.join(', ')}]. ` +
        `It was made for images of ${given.config.imageSize} px: give such ones (\`imageSize\` resizes those of folders)${isOurs ? '' : ', or have positions resampled with `resamplePositions`'}.`,
    );
  }
  const anew = new Set(different.map(([name]) => name));
  scope(() => {
    model.loadStateDict(new Map(Array.from(weights).filter(([name]) => !anew.has(name))), {
      strict: false,
    });
  });
  return [...anew];
}

/** `heads 3` with the name as an option. */
const named = (assumed: string): string => assumed.replace(/^\w+/, (name) => `\`${name}\``);

/**
 * The size of the images is the data's, whatever the weights were made for, but where their positions are to be resampled for
 * it, or may be for images of two sizes, as those of a Vim with patches that overlap.
 */
async function openForImages(
  path: string,
  said: ImportOptions,
  imageSize: number | undefined,
): Promise<OpenedModelFile> {
  const sized = { ...said, ...defined({ imageSize }) };
  if (said.resamplePositions === true) return openModelFile(path, sized);
  try {
    return await openModelFile(path, said);
  } catch (error) {
    if (!isUsageError(error) || imageSize === undefined) throw error;
    // The error of the reading that was asked for says more.
    return await openModelFile(path, sized).catch(() => Promise.reject(error as Error));
  }
}

/**
 * The architecture of a file's weights, and what has to be said for it to be read that way again.
 * @param imageSize - side of the images of the training in pixels, where it is known by now
 * @throws UsageError if they do not tell; FormatError
 */
export async function startingWeights(
  path: string,
  said: ImportOptions = {},
  imageSize?: number,
): Promise<{
  readonly arch: string;
  readonly import: ImportOptions;
  readonly notes: readonly string[];
}> {
  const { model, options, notes, isOurs } = await openForImages(path, said, imageSize);
  model.dispose();
  const sizes = isOurs ? {} : ownSizes(model.config);
  const kept = Object.entries(options).filter(([name]) => !notOfWeights.has(name));
  return {
    arch: model.config.arch,
    // What was typed of its classes tells which rows of the classifier are which; what files say is read again.
    import: defined({ ...Object.fromEntries(kept), ...sizes, classes: said.classes }),
    notes: withData(notes),
  };
}

/** What is said of a model and not of how its weights are read: the training has its own, or asks for it again. */
const notOfWeights = new Set([
  'arch',
  'dataset',
  'classes',
  'mean',
  'std',
  'interpolation',
  'cropShare',
  'imageSize',
  'channels',
  'numClasses',
  'dropPath',
  'allowNotFinite',
]);
