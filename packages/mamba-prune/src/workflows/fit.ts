// Whether a model and a data set go together.
import { existsSync } from 'node:fs';
import { augmentPreset } from '../data/augment/options.js';
import { datasetDefinition, isDataset, openDataset } from '../data/datasets.js';
import type { Dataset, DatasetInfo, NoteHandler } from '../data/types.js';
import { UsageError } from '../errors.js';
import {
  type Interpolation,
  preprocessingOf,
  preprocessingProblem,
} from '../preparation/preprocessing.js';
import { families } from '../models/families.js';
import type { ModelConfigBase } from '../models/image-model.js';
import type { ModelInfo } from '../models/model-file.js';
import { printableLine } from '../printable.js';
import { checkClassNames } from './class-names.js';

/** Which images; plain JSON. */
export interface DataSettings {
  readonly dataset: string;
  /** Its folder, where it needs one: fashion-mnist needs none, but may be in one. */
  readonly data?: string | undefined;
  /** Side of the images made from folders. By default that of the data set, or of the model. */
  readonly imageSize?: number | undefined;
  /**
   * Of images of folders: training images are resized to a shorter side of this many pixels, once, and kept in the cache;
   * random crops are cut out of the copies. By default they are cut out of the originals.
   */
  readonly cachedSize?: number | undefined;
}

/** How the images of a folder are prepared for a new model; those that there are bring their own way. Plain JSON. */
export interface PreparationSettings {
  /** Default `bilinear`; of a training from weights, what is said of them. */
  readonly interpolation?: Interpolation | undefined;
  /** Share of the shorter side that the crop leaves. By default what the data set's definition says, or what is said of the weights. */
  readonly cropShare?: number | undefined;
}

export interface DataHooks {
  readonly onNote?: NoteHandler | undefined;
  /** While files are checked (image folders). */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

/** Whether a data set's images are resized to the size that is asked for. */
export const isAnySize = (dataset: string): boolean =>
  isDataset(dataset) && datasetDefinition(dataset).anySize === true;

/**
 * Opens a data set; only what was asked for reaches `openDataset`.
 * @throws UsageError if images of another size are asked for than the data set has, or a preparation of images that
 *   are none of a folder
 */
export async function openData(
  settings: DataSettings & PreparationSettings,
  hooks: DataHooks = {},
): Promise<Dataset> {
  const { dataset, data, imageSize, interpolation, cropShare, cachedSize } = settings;
  checkPreparation(settings);
  const opened = await openDataset(dataset, {
    ...(data !== undefined && { dir: data }),
    ...(interpolation !== undefined && { interpolation }),
    ...(cropShare !== undefined && { cropShare }),
    ...(cachedSize !== undefined && { cachedSize }),
    ...(imageSize !== undefined && isAnySize(dataset) && { imageSize }),
    ...(hooks.onNote && { onNote: hooks.onNote }),
    ...(hooks.onProgress && { onProgress: hooks.onProgress }),
  });
  if (imageSize !== undefined && imageSize !== opened.info.height) {
    throw new UsageError(
      `\`imageSize\`: got ${imageSize} px, but the images of ${dataset} have ${opened.info.height} px. ` +
        'Leave `imageSize` out; only image folders are resized.',
    );
  }
  return opened;
}

/**
 * What to open for a model: what is asked for, else what it was trained on, in the folder that it remembers.
 * @returns undefined if nobody says what it is
 * @throws UsageError if that folder is gone
 */
export function dataFor(
  info: Pick<ModelInfo, 'dataset' | 'data'>,
  asked: { readonly dataset?: string | undefined; readonly data?: string | undefined },
): DataSettings | undefined {
  const dataset = asked.dataset ?? info.dataset;
  if (dataset === undefined) return undefined;
  const remembered = dataset === info.dataset ? info.data : undefined;
  if (asked.data !== undefined || remembered === undefined) return { ...asked, dataset };
  if (!existsSync(remembered)) {
    throw new UsageError(
      `the images of ${dataset} that the model was trained on were in ${printableLine(remembered)}, which is not ` +
        'there. Give their folder (`data`).',
    );
  }
  return { ...asked, dataset, data: remembered };
}

/** @throws UsageError for values out of range, or of a data set whose images are not resized */
function checkPreparation({
  dataset,
  interpolation,
  cropShare,
  cachedSize,
}: DataSettings & PreparationSettings): void {
  const problem = preprocessingProblem({ interpolation, cropShare });
  if (problem !== undefined) throw new UsageError(problem);
  const asked =
    interpolation !== undefined
      ? (['interpolation', interpolation] as const)
      : cropShare !== undefined
        ? (['cropShare', cropShare] as const)
        : cachedSize !== undefined
          ? (['cachedSize', cachedSize] as const)
          : undefined;
  if (asked === undefined || isAnySize(dataset)) return;
  throw new UsageError(
    `\`${asked[0]}\`: got ${asked[1]}, but the images of ${dataset} are taken as they are. ` +
      `Leave \`${asked[0]}\` out; only image folders are resized.`,
  );
}

/** Names of what training images go through, as recipes have them. */
interface Augmentations {
  readonly augment?: string | undefined;
  readonly plainAugment?: string | undefined;
}

/** Says that resized copies are kept for random crops alone, where no training image is cropped so. */
export function noteUnusedCopies(
  { cachedSize }: Pick<DataSettings, 'cachedSize'>,
  { augment, plainAugment }: Augmentations,
  info: DatasetInfo,
  { onNote }: DataHooks = {},
): void {
  if (cachedSize === undefined) return;
  const isCropped = (name = 'none'): boolean => 'resizedCrop' in augmentPreset(name, info);
  if (isCropped(augment) || isCropped(plainAugment)) return;
  onNote?.(
    `The cached size of ${cachedSize} px changes nothing: copies are for random resized crops, and the augmentation ` +
      `${augment ?? 'none'} makes none. Those of imagenet and imagenet-strong do (\`augment\`).`,
  );
}

/** What a model asks of its data. */
type InputFacts = Pick<ModelConfigBase, 'channels' | 'imageSize' | 'numClasses'> &
  Partial<Pick<ModelConfigBase, 'family'>>;

/** As openData, with the size that the model takes. @throws UsageError if the two do not fit */
export async function openDataFor(
  model: { readonly config: InputFacts },
  settings: DataSettings,
  hooks: DataHooks = {},
): Promise<Dataset> {
  const imageSize = isAnySize(settings.dataset) ? model.config.imageSize : undefined;
  const dataset = await openData({ ...settings, imageSize }, hooks);
  checkFits(model.config, dataset.info);
  return dataset;
}

/** Whether the tensors of a model are of images of one size. */
const hasPositions = ({ family: name }: InputFacts): boolean =>
  families().some(
    (family) =>
      family.name === name && Object.hasOwn(family.layout?.options ?? {}, 'resamplePositions'),
  );

/** @throws UsageError naming every difference */
export function checkFits(config: InputFacts, info: DatasetInfo): void {
  const isSize = config.imageSize === info.height && config.imageSize === info.width;
  const isClasses = config.numClasses === info.classes.length;
  const problems = [
    config.channels === info.channels
      ? ''
      : `images of ${info.channels} channels, expected ${config.channels}`,
    isSize
      ? ''
      : `images of ${info.width}x${info.height} px, expected ${config.imageSize}x${config.imageSize}`,
    isClasses ? '' : `${info.classes.length} classes, expected ${config.numClasses}`,
  ].filter((problem) => problem !== '');
  if (problems.length === 0) return;
  const advice = [
    'Use the data set that the model was trained on.',
    isSize || info.width !== info.height
      ? ''
      : hasPositions(config)
        ? `Positions of a file of another program are resampled with \`imageSize\` ${info.width} and \`resamplePositions\`.`
        : `Where the size of its images was assumed, \`imageSize\` ${info.width} says the right one.`,
    isClasses
      ? ''
      : `For other classes train it first: \`train.from\` gives it a classifier for ${info.classes.length}.`,
  ].filter((sentence) => sentence !== '');
  throw new UsageError(
    `the model does not fit ${info.name}: got ${problems.join('; ')}. ${advice.join(' ')}`,
  );
}

/**
 * The data set, prepared and normalised as the model was trained; its classes must be the model's.
 * @param how.takesClasses - whether the names of the model's classes may be given in place of those that its file has
 * @throws UsageError if the classes have other names, or the test images are others
 */
export function withModelInfo(
  given: Dataset,
  info: Pick<ModelInfo, 'classes' | 'mean' | 'std' | 'dataset' | 'preprocessing'>,
  { takesClasses = false }: { readonly takesClasses?: boolean } = {},
): Dataset {
  const dataset = given.prepared?.(preprocessingOf(info, given.info.height)) ?? given;
  checkClassNames(dataset.info, info.classes, takesClasses);
  checkSplit(dataset.info, info);
  return { ...dataset, info: { ...dataset.info, mean: info.mean, std: info.std } };
}

/**
 * Some data sets there are in several divisions of the same images into training and test images. Their training images
 * have other means, though nearly the same, and models remember theirs to the last digit.
 * @throws UsageError if a model would be tested on images that it was trained on
 */
export function checkSplit(
  { name, mean: [here = 0] }: DatasetInfo,
  { dataset, mean: [trained = 0] }: Pick<ModelInfo, 'dataset' | 'mean'>,
): void {
  if (dataset !== name || here === trained || !isDataset(name)) return;
  const { divisions } = datasetDefinition(name);
  if (divisions === undefined) return;
  // Normalised in a way of its own: a mean over 60,000 images of Fashion-MNIST deviates by 0.0005.
  if (Math.abs(here - trained) > 0.005) return;
  throw new UsageError(
    `the model was trained on another division of ${name} into training and test images (the mean of its training ` +
      `images is ${trained}, here it is ${here}), so that test images are among those that it was trained on. ` +
      `${divisions}: give the folder of those that it was trained on (\`data\`).`,
  );
}

/** What is assumed of the images of an imported model; trained with them, it is for such images. */
const ofItsImages = /^(?:mean|std|interpolation|cropShare) /;

/**
 * What a model that was trained on says of its data, where it said nothing of them, as one from another program. Mean and
 * deviation stay: the images of the training were normalised by them.
 * @param dataset - as it was trained on
 */
export function trainedOn(dataset: Pick<Dataset, 'info'> | undefined, info: ModelInfo): ModelInfo {
  if (dataset === undefined || info.dataset !== undefined) return info;
  const { classes, mean, std, history } = info;
  const data = modelInfoOf({ ...dataset.info, mean, std }, history.map(settled));
  return classes.length > 0 ? { ...data, classes } : data;
}

/** A step of an import without what is no longer assumed. */
function settled(step: ModelInfo['history'][number]): ModelInfo['history'][number] {
  const { assumed } = step;
  if (step['step'] !== 'import' || !Array.isArray(assumed)) return step;
  return { ...step, assumed: assumed.filter((text) => !ofItsImages.test(String(text))) };
}

/** What a model file says of the data a model was trained on. */
export function modelInfoOf(info: DatasetInfo, history: ModelInfo['history']): ModelInfo {
  const { name, classes, mean, std, dir, preprocessing } = info;
  return {
    dataset: name,
    ...(dir !== undefined && { data: dir }),
    classes: [...classes],
    mean: [...mean],
    std: [...std],
    ...(preprocessing && { preprocessing }),
    history,
  };
}
