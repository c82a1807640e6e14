// Whether a model and a data set go together.
import { openDataset } from '../data/datasets.js';
import type { Dataset, DatasetInfo, NoteHandler } from '../data/types.js';
import { UsageError } from '../errors.js';
import {
  type Interpolation,
  preprocessingOf,
  preprocessingProblem,
} from '../preparation/preprocessing.js';
import { printableLine } from '../printable.js';
import type { ModelConfigBase } from '../models/image-model.js';
import type { ModelInfo } from '../models/model-file.js';

/** Which images; plain JSON. */
export interface DataSettings {
  readonly dataset: string;
  /** Its folder; fashion-mnist needs none. */
  readonly data?: string | undefined;
  /** Side of the images made from folders; that of the data set, or of the model, unless given. */
  readonly imageSize?: number | undefined;
}

/** How the images of a folder are prepared for a new model; those that there are bring their own way. Plain JSON. */
export interface PreparationSettings {
  /** bilinear unless given */
  readonly interpolation?: Interpolation | undefined;
  /** Share of the shorter side that the crop leaves; 0.875 unless given, tiny-imagenet 1. */
  readonly cropShare?: number | undefined;
}

export interface DataHooks {
  readonly onNote?: NoteHandler | undefined;
  /** While files are checked (image folders). */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

const anySize: ReadonlySet<string> = new Set(['tiny-imagenet', 'imagenet', 'folder']);

/**
 * Opens a data set; only what was asked for reaches `openDataset`.
 * @throws UsageError if images of another size are asked for than the data set has, or a preparation of images that
 *   are none of a folder
 */
export async function openData(
  settings: DataSettings & PreparationSettings,
  hooks: DataHooks = {},
): Promise<Dataset> {
  const { dataset, data, imageSize, interpolation, cropShare } = settings;
  checkPreparation(settings);
  const opened = await openDataset(dataset, {
    ...(data !== undefined && { dir: data }),
    ...(interpolation !== undefined && { interpolation }),
    ...(cropShare !== undefined && { cropShare }),
    ...(imageSize !== undefined && anySize.has(dataset) && { imageSize }),
    ...(hooks.onNote && { onNote: hooks.onNote }),
    ...(hooks.onProgress && { onProgress: hooks.onProgress }),
  });
  if (imageSize !== undefined && imageSize !== opened.info.height) {
    throw new UsageError(
      `image size: got ${imageSize} px, but the images of ${dataset} have ${opened.info.height} px. ` +
        'Leave --image-size out; only image folders are resized.',
    );
  }
  return opened;
}

/** @throws UsageError for values out of range, or of a data set whose images are not resized */
function checkPreparation({
  dataset,
  interpolation,
  cropShare,
}: DataSettings & PreparationSettings): void {
  const problem = preprocessingProblem({ interpolation, cropShare });
  if (problem !== undefined) throw new UsageError(problem);
  const asked =
    interpolation !== undefined
      ? (['interpolation', interpolation, '--interpolation'] as const)
      : cropShare !== undefined
        ? (['crop share', cropShare, '--crop-share'] as const)
        : undefined;
  if (asked === undefined || anySize.has(dataset)) return;
  throw new UsageError(
    `${asked[0]}: got ${asked[1]}, but the images of ${dataset} are taken as they are. ` +
      `Leave ${asked[2]} out; only image folders are resized.`,
  );
}

/** What a model asks of its data. */
type InputFacts = Pick<ModelConfigBase, 'channels' | 'imageSize' | 'numClasses'>;

/** As openData, with the size that the model takes. @throws UsageError if the two do not fit */
export async function openDataFor(
  model: { readonly config: InputFacts },
  settings: DataSettings,
  hooks: DataHooks = {},
): Promise<Dataset> {
  const imageSize = anySize.has(settings.dataset) ? model.config.imageSize : undefined;
  const dataset = await openData({ ...settings, imageSize }, hooks);
  checkFits(model.config, dataset.info);
  return dataset;
}

/** @throws UsageError naming every difference */
export function checkFits(config: InputFacts, info: DatasetInfo): void {
  const problems = [
    config.channels === info.channels
      ? ''
      : `images of ${info.channels} channels, expected ${config.channels}`,
    config.imageSize === info.height && config.imageSize === info.width
      ? ''
      : `images of ${info.width}x${info.height} px, expected ${config.imageSize}x${config.imageSize}`,
    config.numClasses === info.classes.length
      ? ''
      : `${info.classes.length} classes, expected ${config.numClasses}`,
  ].filter((problem) => problem !== '');
  if (problems.length === 0) return;
  throw new UsageError(
    `the model does not fit ${info.name}: got ${problems.join('; ')}. ` +
      'Use the data set that the model was trained on.',
  );
}

/**
 * The data set, prepared and normalised as the model was trained; its classes must be the model's.
 * @throws UsageError if the classes have other names
 */
export function withModelInfo(
  given: Dataset,
  info: Pick<ModelInfo, 'classes' | 'mean' | 'std' | 'dataset' | 'preprocessing'>,
): Dataset {
  const dataset = given.prepared?.(preprocessingOf(info, given.info.height)) ?? given;
  const { classes } = dataset.info;
  const index = classes.findIndex(
    (name, i) => info.classes[i] !== undefined && info.classes[i] !== name,
  );
  if (index >= 0) {
    throw new UsageError(
      `the model does not fit ${dataset.info.name}: got class ${index} '${printableLine(classes[index] ?? '')}', ` +
        `expected '${printableLine(info.classes[index] ?? '')}'. Use the data set that the model was trained on.`,
    );
  }
  return { ...dataset, info: { ...dataset.info, mean: info.mean, std: info.std } };
}

/** What a model file says of the data a model was trained on. */
export function modelInfoOf(info: DatasetInfo, history: ModelInfo['history']): ModelInfo {
  const { name, classes, mean, std, preprocessing } = info;
  return {
    dataset: name,
    classes: [...classes],
    mean: [...mean],
    std: [...std],
    ...(preprocessing && { preprocessing }),
    history,
  };
}
