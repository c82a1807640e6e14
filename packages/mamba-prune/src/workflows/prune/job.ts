// What a pruning run works with: models, data, options. Opening it finds everything that can be wrong
// before anything is written.
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Dataset } from '../../data/types.js';
import { UsageError } from '../../errors.js';
import type { ImageModel } from '../../models/image-model.js';
import type { ModelInfo } from '../../models/model-file.js';
import type { Calibration } from '../../pruning/calibration.js';
import type { BatchSource } from '../../training/batches.js';
import { resolveTrainOptions } from '../../training/options.js';
import type { TrainHooks } from '../../training/hooks.js';
import type { TrainOptions } from '../../training/train-options.js';
import { accuracyImages } from './accuracy-images.js';
import { calibrationOf } from './calibration.js';
import { checkCut } from './check-cut.js';
import { type CompensationJob, compensationImages } from './compensation.js';
import { noteAssumedPixels } from '../assumed-pixels.js';
import { checkBatch } from '../check-need.js';
import { noteUnusedCopies, openDataFor, withModelInfo } from '../fit.js';
import { describesItself, openModelFile } from '../open-model-file.js';
import type { PrunePhase, PruneHooks } from './hooks.js';
import { normSource } from './norm-batches.js';
import { type ResolvedPruneSettings, needForImages } from './settings.js';
import type { Standing } from './source.js';
import type { PruningRecord } from './record.js';
import { checkRewindFile, rewindFile } from './rewound-weights.js';
import { type RecipeSettings, type RunControl, trainOptionsOf } from '../settings.js';

export interface PruneJob {
  readonly settings: ResolvedPruneSettings;
  readonly control: RunControl;
  readonly device: string;
  /** Normalised as the model was trained. */
  readonly dataset: Dataset | undefined;
  /** Test images that accuracies before and after a cut are measured on; all if undefined. */
  readonly accuracyImages: number | undefined;
  /** The same for the record. */
  readonly measuredOn: PruningRecord['measuredOn'];
  /** Of the training after each cut; undefined if there is none. Under lr-through of the whole, as the next. */
  readonly tuning: TrainOptions | undefined;
  /** Of the regularised training before each cut. */
  readonly regularizing: TrainOptions | undefined;
  /** Given if the method needs images. */
  readonly calibration: Calibration | undefined;
  /** Given if cuts are compensated. */
  readonly compensation: CompensationJob | undefined;
  /** Training images to measure batch normalisation on after a cut; undefined if it stays. */
  readonly normSource: BatchSource | undefined;
  /** File with the weights that kept units go back to. */
  readonly rewindFile: string | undefined;
  /** Before latencies are measured. */
  readonly onLatency: (() => void) | undefined;
  /** The model that was pruned first, for distillation; the job's. */
  readonly teacher: ImageModel | undefined;
}

/**
 * @param standing - what the run begins or goes on with
 * @throws UsageError, DataError, FormatError: see `pruneRun`
 */
export async function openJob(
  settings: ResolvedPruneSettings,
  control: RunControl,
  { model, info, record, at }: Standing,
  hooks: PruneHooks = {},
): Promise<PruneJob> {
  const device = control.device ?? 'cpu';
  checkRecipe(settings);
  const dataset = await openImages(settings, control, model, info);
  const { recipe, rsst, scoreBatches: batches, distill, compensate } = settings;
  const images = {
    device,
    seed: recipe.seed ?? 0,
    maxImages: recipe.maxTrainImages,
    signal: control.signal,
  };
  const calibration =
    dataset && needForImages(settings) !== undefined
      ? calibrationOf(dataset, {
          ...images,
          batches,
          onProgress: (done, total) => hooks.onEvaluate?.('scores', done, total),
        })
      : undefined;
  checkCut(model, settings, calibration);
  const roundsLeft = settings.rounds - record.rounds.length;
  const file =
    settings.rewind === 'none' || roundsLeft === 0
      ? undefined
      : rewindFile(settings.model, settings.rewind);
  if (file !== undefined) {
    await checkRewindFile(file, {
      config: model.config,
      widths: rewoundWidths(settings, record),
      import: importOfRewind(settings),
    });
  }
  if (dataset && (recipe.epochs > 0 || rsst) && control.autoBatch !== true) {
    checkBatch(model, dataset, recipe.batchSize ?? 128, control);
  }
  const regularizing =
    dataset && rsst ? optionsOf(regularizingRecipe(settings), dataset) : undefined;
  const tuning =
    dataset && recipe.epochs > 0 ? optionsOf(tuningRecipe(settings), dataset) : undefined;
  const trains = at !== 'done' || recipe.epochs > 0;
  const measured = dataset && imagesOf(settings, record);
  return {
    settings,
    control,
    device,
    dataset,
    accuracyImages: measured,
    measuredOn: dataset && {
      dataset: dataset.info.name,
      images: Math.min(measured ?? dataset.test.length, dataset.test.length),
      of: dataset.test.length,
    },
    tuning,
    regularizing,
    calibration,
    compensation: dataset &&
      compensate && {
        ...compensate,
        calibration: compensationImages(dataset, compensate, images),
      },
    normSource: dataset && normSource(dataset, settings),
    rewindFile: file,
    onLatency: hooks.onLatency,
    teacher: distill && trains ? await loadTeacher(settings, device) : undefined,
  };
}

/** What a training of the job has where the dense model teaches it; regularised epochs it teaches only where that is asked for. */
export function teachingHooks(
  { settings: { distill }, teacher }: Pick<PruneJob, 'settings' | 'teacher'>,
  kind: PrunePhase['kind'],
): Pick<TrainHooks, 'distillation'> {
  if (!teacher || !distill) return {};
  const { weight, temperature, through } = distill;
  if (kind === 'regularize' && !through) return {};
  return { distillation: { teacher, weight, temperature } };
}

/** What the file that units are rewound to does not tell: those of a training are ours. */
export const importOfRewind = ({ rewind, import: said }: ResolvedPruneSettings) =>
  rewind === 'source' ? said : undefined;
/** @returns undefined for all images */
function imagesOf(
  { recipe, rsst }: ResolvedPruneSettings,
  { macs, accuracy, measuredOn }: PruningRecord,
): number | undefined {
  const { maxTestImages } = recipe;
  if (maxTestImages != null) return maxTestImages;
  // One measure for the whole run: trainings see all images, and so did runs that began before there was a bound.
  const unbounded = accuracy.before !== null && measuredOn === undefined;
  return recipe.epochs > 0 || rsst || unbounded ? undefined : accuracyImages(macs.before);
}

/** Width of every group of the model that units are rewound to. */
export function rewoundWidths(
  { rewind }: Pick<ResolvedPruneSettings, 'rewind'>,
  { widthsBefore, denseWidths }: PruningRecord,
): Record<string, number> {
  return rewind === 'source' ? widthsBefore : denseWidths;
}

function optionsOf(recipe: RecipeSettings, dataset: Dataset): TrainOptions {
  const options = trainOptionsOf(recipe, dataset.info);
  resolveTrainOptions(options, dataset.info);
  return options;
}

/**
 * The recipe of the regularised training: that of the fine-tuning, over its own epochs. Without
 * averaging: the weights that are cut have to be those that were driven to zero, not their past. Plain
 * epochs end the training of a round, which is the fine-tuning if there is one.
 *
 * Under lr-through it is the first part of one training, whose averages go on after the cut.
 */
export function regularizingRecipe(settings: ResolvedPruneSettings): RecipeSettings {
  const { recipe, rsst } = settings;
  if (rsst?.lrThrough) return tuningRecipe(settings);
  const epochs = rsst?.epochs ?? recipe.epochs;
  const { warmupEpochs = 0 } = recipe;
  const warmup = recipe.epochs > 0 ? (warmupEpochs / recipe.epochs) * epochs : warmupEpochs;
  return {
    ...recipe,
    epochs,
    warmupEpochs: Math.min(epochs, warmup),
    emaDecay: null,
    ...(recipe.epochs > 0 && { plainEpochs: undefined, plainAugment: undefined }),
  };
}

/** Of the training that ends a round; under lr-through of all its epochs, those before the cut among them. */
export function tuningRecipe({ recipe, rsst }: ResolvedPruneSettings): RecipeSettings {
  return rsst?.lrThrough ? { ...recipe, epochs: rsst.epochs + recipe.epochs } : recipe;
}

/** As the training sees them: augmented, in batches of its size. */
function checkRecipe(settings: ResolvedPruneSettings): void {
  const { dataset, recipe, rsst, compensate } = settings;
  if (dataset !== undefined) return;
  const need =
    needForImages(settings) ??
    (rsst
      ? '`method` rsst'
      : compensate
        ? '`compensate`'
        : settings.bnBatches > 0
          ? '`bnBatches`'
          : undefined);
  if (need !== undefined) {
    throw new UsageError(
      `prune: got ${need}, which needs real images, but no data set, expected one. Give \`dataset\`.`,
    );
  }
  if (recipe.epochs > 0) {
    throw new UsageError(
      'prune: got epochs for fine-tuning but no data set, expected one. Give `dataset`, or `recipe.epochs` 0.',
    );
  }
}

async function openImages(
  { model: file, dataset: name, data, cachedSize, recipe }: ResolvedPruneSettings,
  { data: hooks }: RunControl,
  model: ImageModel,
  info: ModelInfo,
): Promise<Dataset | undefined> {
  if (name === undefined) return undefined;
  const dataset = await openDataFor(model, { dataset: name, data, cachedSize }, hooks);
  noteUnusedCopies({ cachedSize }, recipe, dataset.info, hooks);
  noteAssumedPixels(info, dataset.info, hooks);
  return withModelInfo(dataset, info, { takesClasses: !describesItself(file) });
}

async function loadTeacher(
  { model: path, import: said }: ResolvedPruneSettings,
  device: string,
): Promise<ImageModel> {
  if (!existsSync(path)) {
    throw new UsageError(
      `distillation: the teacher ${resolve(path)}, the model that was pruned, does not exist. Put it back, or leave \`distill\` out.`,
    );
  }
  const { model } = await openModelFile(path, said);
  model.to(device);
  return model;
}
