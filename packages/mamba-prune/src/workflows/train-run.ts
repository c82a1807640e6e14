import { existsSync } from 'node:fs';
import { dirname } from 'node:path';
import { type distributed, manualSeed } from '@mamba-prune/libtorch';
import { requireDevice } from '../device-check.js';
import { datasetRecord } from '../data/datasets.js';
import type { Dataset } from '../data/types.js';
import { UsageError } from '../errors.js';
import { makeFolder } from '../files/folder.js';
import { tensorboardHooks, writeEventFile } from '../logging/tensorboard.js';
import { moduleOf } from '../models/families.js';
import type { ImageModel } from '../models/image-model.js';
import { type ModelInfo, saveModel } from '../models/model-file.js';
import { requireOptions } from '../option-checks.js';
import { releasing } from '../releasing.js';
import { type Preprocessing, defaultPreprocessing } from '../preparation/preprocessing.js';
import { fitBatchSize } from '../training/auto-batch.js';
import { checkCheckpoints } from '../training/beginning.js';
import { bringBackReplaced, discardFailedStart } from '../training/failed-start.js';
import { composeHooks } from '../training/compose-hooks.js';
import { checkShares } from '../training/data-parallel/data-parallel.js';
import type { TrainHooks } from '../training/hooks.js';
import { resolveTrainOptions } from '../training/options.js';
import { RunFolder } from '../training/run-folder.js';
import type { TrainResult } from '../training/train-result.js';
import { train } from '../training/trainer.js';
import { checkBatch, checkNewModel } from './check-need.js';
import { modelInfoOf, noteUnusedCopies, openData } from './fit.js';
import { fileOfRun } from './open-model.js';
import { OpenedTeacher, type TeacherFacts } from './opened-teacher.js';
import { keptWeightsPath } from './prune/rewound-weights.js';
import { fileFacts } from './prune/source.js';
import {
  type RunControl,
  type TrainRequest,
  type TrainSettings,
  checkAutoBatch,
  checkSame,
  controlKinds,
  storedSettings,
  trainOptionsOf,
  trainSettingsKinds,
} from './settings.js';
import { checkResumedModel } from './resumed-sizes.js';
import { startingModel } from './starting-model.js';
import { type ResolvedTeacher, checkSameEverywhere, resolveTeacher } from './teacher.js';

export interface TrainRun {
  /** The trained model, or as far as it came; the caller disposes it. */
  readonly model: ImageModel;
  readonly info: ModelInfo;
  readonly dataset: Dataset;
  readonly result: TrainResult;
  /** Those given, with the batch size that fits if that was to be found. */
  readonly settings: TrainSettings;
  /** The one that taught, as its file was read; undefined where none did. */
  readonly teacher: TeacherFacts | undefined;
  /** Absolute path of the run's folder. */
  readonly path: string;
}

/** Called when all checks have passed and the work begins. */
export type OnBegin = (model: ImageModel, dataset: Dataset) => void;

/**
 * Trains a new model into a run folder, or goes on with one: data, sizes, options and the folder are
 * checked before any work is done. The seed of the recipe decides the initialisation too. The weights
 * of the start, and those after the epochs asked for, are kept among the checkpoints as model files,
 * so that a pruned model can be rewound to them.
 *
 * @throws TooLargeError, OutOfMemoryError, UsageError, DataError, RunFolderError, ResumeError, CheckpointError, TrainingDivergedError;
 *   StoppedAtStartError if the signal came before the first step of a run in place of another one, which is there again
 */
export async function trainRun(
  told: TrainRequest,
  control: RunControl,
  onBegin?: OnBegin,
): Promise<TrainRun> {
  requireOptions('trainRun', told, trainSettingsKinds, ['arch', 'dataset', 'recipe']);
  requireOptions('trainRun: control', control, controlKinds, ['out']);
  checkAutoBatch('train', control);
  requireDevice('trainRun', control.device);
  const init =
    told.init === undefined ? undefined : await fileOfRun(told.init, control.hooks?.onNote);
  const given: TrainSettings = {
    ...told,
    model: told.model ?? {},
    ...(init !== undefined && { init }),
  };
  if (goesOn(control)) checkResumedModel(control.out, given);
  checkNewModel(given, control.device);
  const distill = teacherOf(given, control);
  return releasing(async (keep) => {
    // Before the images, which may take long, and before the seed is set: a training has the same random numbers with a
    // teacher as without.
    const teacher = distill && keep(await OpenedTeacher.open(distill));
    const settings: TrainSettings = {
      ...given,
      ...(distill && teacher && { distill: withOptions(distill, teacher) }),
    };
    const dataset = await openData(settings, control.data);
    const distillation = teacher?.teach(dataset.info, control.device ?? 'cpu');
    for (const note of teacher?.notes ?? []) control.hooks?.onNote?.(note);
    const hooks = composeHooks(control.hooks, distillation ? { distillation } : undefined);
    const run = await trainOn(dataset, settings, { ...control, hooks }, onBegin);
    return { ...run, teacher: teacher?.facts };
  });
}

/** Whoever goes on with the run need not say it again, and what lies beside the file may change. */
function withOptions(distill: ResolvedTeacher, { options }: OpenedTeacher): ResolvedTeacher {
  return Object.keys(options).length > 0 ? { ...distill, import: options } : distill;
}

/** The training of `trainRun`, whose images there are. */
async function trainOn(
  opened: Dataset,
  given: TrainSettings,
  control: RunControl,
  onBegin?: OnBegin,
): Promise<Omit<TrainRun, 'teacher'>> {
  let dataset = opened;
  let settings = given;
  noteUnusedCopies(settings, settings.recipe, dataset.info, control.data);
  let options = trainOptionsOf(settings.recipe, dataset.info);
  let resolved = resolveTrainOptions(options, dataset.info);
  checkKeepEpochs(settings, resolved.epochs);
  checkShares(resolved.batchSize, control.group?.workers ?? 1);
  manualSeed(resolved.seed);
  const leads = (control.group?.rank ?? 0) === 0;
  const { model, origin, preparation } = await startingModel(settings, control, dataset);
  try {
    prepareAs(preparation);
    if (control.autoBatch !== true) checkBatch(model, dataset, resolved.batchSize, control);
    fitBatch(model);
    const run = openRun(model, dataset);
    try {
      // The same at every resume, for all that decides it is in the settings.
      if (leads && !existsSync(keptWeightsPath(run.path, 0))) keepWeights(run.path, 0);
      onBegin?.(model, dataset);
      model.to(control.device ?? 'cpu');
      const result = await train(
        model,
        dataset,
        options,
        run,
        composeHooks(
          control.hooks,
          leads && control.tensorboard === true ? tensorboardHooks(run.path) : undefined,
          {
            // Asked before the epoch's checkpoint is written: a run that is killed in between does the
            // epoch again, and with it this.
            epochMetrics: (epoch) => {
              if (leads && settings.keepEpochs?.includes(epoch) === true)
                keepWeights(run.path, epoch);
              return {};
            },
            saveModel: saver(dataset, settings, origin),
          },
        ),
        {
          signal: control.signal,
          resume: control.resume,
          restart: control.restart,
          dataThreads: control.dataThreads,
          group: control.group,
          // Its data and its teacher may lie elsewhere now; a further resume finds them there.
          described: { settings, dataset: datasetRecord(dataset.info) },
        },
      );
      if (!result.finished) bringBackReplaced(run);
      if (leads && control.tensorboard === true) writeEventFile(run);
      if (leads && result.finished) noteMissing(run.path);
      model.eval();
      const info = modelInfoOf(dataset.info, [
        ...origin,
        trainingStep(settings, result.valAccuracy),
      ]);
      return { model, info, dataset, result, settings, path: run.path };
    } catch (error) {
      discardFailedStart(run, error);
      throw error;
    } finally {
      run.release();
    }
  } catch (error) {
    model.dispose();
    throw error;
  }

  /** Images of folders are prepared as those were that the weights have seen, unless something else was asked for. */
  function prepareAs(before: Partial<Preprocessing>): void {
    const { preprocessing: usual } = dataset.info;
    if (dataset.prepared === undefined || usual === undefined) return;
    const { interpolation = before.interpolation ?? usual.interpolation } = settings;
    const { cropShare = before.cropShare ?? usual.cropShare } = settings;
    if (interpolation === usual.interpolation && cropShare === usual.cropShare) return;
    dataset = dataset.prepared({ interpolation, cropShare });
    settings = { ...settings, interpolation, cropShare };
    control.hooks?.onNote?.(
      `The images are prepared as those were that the weights have seen: ${interpolation}, with a crop share of ` +
        `${cropShare}. \`interpolation\` and \`cropShare\` choose otherwise.`,
    );
  }

  /** Once, before a run begins. */
  function fitBatch(made: ImageModel): void {
    if (control.autoBatch !== true) return;
    made.to(control.device ?? 'cpu');
    const { group } = control;
    const fitted = fitBatchSize(made, dataset, options, {
      hooks: control.hooks,
      workers: group?.workers,
      // The smallest of all.
      agree: (size) => (group ? Math.min(...gathered(size, group)) : size),
    });
    if (!fitted) return;
    settings = { ...settings, recipe: { ...settings.recipe, ...fitted } };
    options = { ...options, ...fitted };
    resolved = resolveTrainOptions(options, dataset.info);
  }

  /** The weights as they are, not their average. */
  function keepWeights(run: string, epoch: number): void {
    const step = { ...trainingStep(settings, null), epoch, weights: 'model' };
    saveModel(keptWeightsPath(run, epoch), model, modelInfoOf(dataset.info, [...origin, step]));
  }

  /** On resume epochs may be asked for that are over. */
  function noteMissing(run: string): void {
    const missing = settings.keepEpochs?.filter(
      (epoch) => !existsSync(keptWeightsPath(run, epoch)),
    );
    if (missing === undefined || missing.length === 0) return;
    control.hooks?.onNote?.(
      `The weights of epoch ${missing.join(', ')} are not kept: it was over when they were asked for.`,
    );
  }

  function openRun(made: ImageModel, { info }: Dataset): RunFolder {
    const description = {
      command: 'train',
      args: control.args ?? [],
      seed: resolved.seed,
      dataset: datasetRecord(info),
      model: made.config,
      module: moduleOf(made.config.family),
      train: resolved,
      settings,
    };
    if (!leads) return RunFolder.follow(control.out, description);
    if (control.resume !== undefined && control.resume !== false) {
      const run = RunFolder.open(control.out, { write: true });
      try {
        checkCheckpoints(run, control);
        checkSame('model', made.config, run.config.model);
        checkPreparedAlike(info, run);
        // It may be what was lost.
        makeFolder(dirname(run.lastCheckpoint));
      } catch (error) {
        run.release();
        throw error;
      }
      return run;
    }
    const { init } = settings;
    const source = init === undefined ? {} : { source: fileFacts(init) };
    return RunFolder.create(
      control.out,
      { ...description, ...source },
      {
        overwrite: control.overwrite,
        sources: [settings.init, settings.distill?.teacher].filter((file) => file !== undefined),
      },
    );
  }
}

/**
 * Images that are prepared otherwise are others to the model.
 * @throws UsageError if the run that goes on began with another preparation of them
 */
function checkPreparedAlike({ name, preprocessing }: Dataset['info'], { config }: RunFolder): void {
  if (!preprocessing) return;
  const usual = defaultPreprocessing(name);
  const began = config['settings'] as Partial<TrainSettings>;
  checkSame('preparation of the images', preprocessing, {
    interpolation: began.interpolation ?? usual.interpolation,
    cropShare: began.cropShare ?? usual.cropShare,
  });
}

/** Whether a run is gone on with whose folder this worker looks into. */
const goesOn = ({ resume, group }: Pick<RunControl, 'resume' | 'group'>): boolean =>
  (group?.rank ?? 0) === 0 && resume !== undefined && resume !== false;

/** @throws UsageError if the run that goes on began with another teacher, or without one */
function teacherOf(
  { distill }: TrainSettings,
  { out, resume, group }: RunControl,
): ResolvedTeacher | undefined {
  const isResumed = goesOn({ resume, group });
  const { distill: began } = isResumed ? storedSettings(out, 'train') : {};
  if (isResumed && (began === undefined) !== (distill === undefined)) {
    const [got, expected] = began === undefined ? ['a', 'none'] : ['no', 'that of the run'];
    throw new UsageError(
      `resume: got ${got} teacher, expected ${expected}: a run goes on as it began. Give what the run began with, or start a new run.`,
    );
  }
  if (distill === undefined) return undefined;
  const teacher = resolveTeacher(distill, began);
  if (group) checkSameEverywhere(teacher, group);
  return teacher;
}

/** The workers' values, by rank. */
function gathered(value: number, group: distributed.ProcessGroup): number[] {
  const { rank, workers } = group;
  return group.sum(Array.from({ length: workers }, (_, i) => (i === rank ? value : 0)));
}

function checkKeepEpochs({ keepEpochs = [] }: TrainSettings, epochs: number): void {
  const wrong = keepEpochs.find((epoch) => !Number.isInteger(epoch) || epoch < 1 || epoch > epochs);
  if (wrong === undefined) return;
  throw new UsageError(
    `train: keepEpochs: got ${wrong}, expected epochs from 1 to ${epochs}, those of the training. ` +
      'The weights of the start are always kept.',
  );
}

/** An entry of a model's history; no times in it, so that equal runs give equal files. */
function trainingStep(settings: TrainSettings, accuracy: number | null): Record<string, unknown> {
  const { dataset, arch, recipe, init, distill } = settings;
  const { epochs, seed = 0 } = recipe;
  return {
    step: 'train',
    arch,
    dataset,
    ...(init !== undefined && { from: init }),
    ...(distill && {
      teacher: distill.teacher,
      distill: distill.weight,
      temperature: distill.temperature,
    }),
    epochs,
    seed,
    accuracy,
  };
}

function saver(
  { info }: Dataset,
  settings: TrainSettings,
  origin: ModelInfo['history'],
): NonNullable<TrainHooks['saveModel']> {
  return (path, model, { valAccuracy, epoch, weights }) => {
    const step = { ...trainingStep(settings, valAccuracy), epoch, weights };
    saveModel(path, model as ImageModel, modelInfoOf(info, [...origin, step]));
  };
}
