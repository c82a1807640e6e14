// Prunes a model in one or more rounds, into the folder of a run.
import { rmSync } from 'node:fs';
import { requireDevice } from '../../device-check.js';
import { datasetRecord } from '../../data/datasets.js';
import { UsageError } from '../../errors.js';
import { writeEventFile } from '../../logging/tensorboard.js';
import { moduleOf } from '../../models/families.js';
import { familyNamed } from '../../models/families.js';
import type { ImageModel } from '../../models/image-model.js';
import type { ModelInfo } from '../../models/model-file.js';
import { requireOptions } from '../../option-checks.js';
import type { UnitSet } from '../../pruning/rsst/index.js';
import { type FittedBatch, fitBatchSize } from '../../training/auto-batch.js';
import { composeHooks } from '../../training/compose-hooks.js';
import { bringBackReplaced, discardFailedStart } from '../../training/failed-start.js';
import { resolveTrainOptions } from '../../training/options.js';
import { RunFolder } from '../../training/run-folder.js';
import type { TrainResult } from '../../training/train-result.js';
import { fileOfRun } from '../open-model.js';
import { todaysSettings } from './earlier-names.js';
import type { PrunePhase, PruneHooks } from './hooks.js';
import { decideThrough } from './lr-through.js';
import { type PruneJob, openJob, teachingHooks } from './job.js';
import {
  keptNormsNote,
  normBatchSize,
  trainImages,
  usualBnBatches,
  withBnBatches,
} from './norm-batches.js';
import { goOn } from './resume.js';
import { type Standing, fileFacts, openSource } from './source.js';
import {
  type PruneRequest,
  type PruneSettings,
  type ResolvedPruneSettings,
  pruneSettingsKinds,
  resolvePruneSettings,
} from './settings.js';
import { decideImportance, keepImportance } from './importance-choice.js';
import { beginBudget } from './round-budget.js';
import { pullingHooks } from './pulling.js';
import { type PruningRecord, writePruningRecord } from './record.js';
import { Rounds } from './rounds.js';
import { type RunControl, checkAutoBatch, controlKinds } from '../settings.js';

export interface PruneRun {
  /** False if the signal stopped it: resume to go on. */
  readonly finished: boolean;
  /** The pruned model; the caller disposes it. */
  readonly model: ImageModel;
  readonly info: ModelInfo;
  readonly record: PruningRecord;
  /** Of the last training, if there was one. */
  readonly result: TrainResult | undefined;
  /** Absolute path of the run's folder. */
  readonly path: string;
}

/**
 * Prunes a model into a run folder: model.safetensors, config.json, pruning.json, and the model after
 * each round among the checkpoints. A round scores the units, cuts the least important ones (after
 * regularised training, or giving some back, as the method has it) and trains what is left. With a
 * data set the accuracy is measured before and after each cut: on the test images that the training is
 * measured by, or, where nothing is trained, on as many as take a minute or so (`accuracyImages`). Units are scored
 * by taylor with a data set and by l1 without one, unless the settings name an importance. Everything
 * that can be wrong is found before anything is written.
 *
 * A run that was stopped goes on with `control.resume` and ends bit for bit as if it had not been (on
 * the CPU, with the same number of threads).
 *
 * @throws UsageError, DataError, FormatError, RunFolderError, ResumeError, CheckpointError,
 *   TrainingDivergedError; StoppedAtStartError if the signal came before the first measurement, cut or step of a run in place
 *   of another one, which is there again
 */
export async function pruneRun(
  told: PruneRequest,
  control: RunControl,
  hooks: PruneHooks = {},
): Promise<PruneRun> {
  requireOptions('pruneRun: control', control, controlKinds, ['out']);
  checkAutoBatch('prune', control);
  const workers = control.group?.workers ?? 1;
  if (workers > 1) {
    throw new UsageError(
      `pruneRun: got a group of ${workers} workers, expected none: a pruning is one process. Leave the group out.`,
    );
  }
  requireOptions('prune', told, pruneSettingsKinds, ['model', 'rates', 'recipe']);
  requireDevice('pruneRun', control.device);
  const model = await fileOfRun(told.model, control.hooks?.onNote);
  const given = todaysSettings({ ...told, model });
  const resuming = control.resume !== undefined && control.resume !== false;
  const earlier = resuming ? RunFolder.open(control.out) : undefined;
  const asked = withDefaults(given, earlier);
  const resolved = resolvePruneSettings(asked);
  const standing = await (earlier
    ? goOn(earlier, asked, resolved, control)
    : openSource(resolved, control.opened));
  let job: PruneJob | undefined;
  try {
    const isDecided = earlier !== undefined || given.importance !== undefined;
    const decided = isDecided ? asked : withImportanceOf(asked, standing);
    const prepared = await prepareJob(decided, standing, control, hooks);
    job = prepared.job;
    standing.record = await beginBudget(job, standing);
    const folder = earlier
      ? openFolder(prepared.settings, control, job)
      : createFolder(prepared.settings, control, standing, job);
    return await carryOut(job, folder, standing, hooks);
  } catch (error) {
    standing.model.dispose();
    throw error;
  } finally {
    job?.teacher?.dispose();
  }
}

/** With the default of the model's family, which is known only now, in the record too. */
function withImportanceOf(asked: PruneSettings, standing: Standing): PruneSettings {
  const settings = decideImportance(
    { ...asked, importance: undefined },
    familyNamed(standing.model.config),
  );
  const { importance, importanceReason } = resolvePruneSettings(settings);
  standing.record = { ...standing.record, importance, importanceReason };
  return settings;
}

/** The job, and its settings with what only the data and the device decide: the batch size, and the batches of `bnBatches`. */
async function prepareJob(
  asked: PruneSettings,
  standing: Standing,
  control: RunControl,
  hooks: PruneHooks,
): Promise<{ readonly settings: PruneSettings; readonly job: PruneJob }> {
  let settings = asked;
  const open = () => openJob(resolvePruneSettings(settings), control, standing, hooks);
  let job = await open();
  try {
    const fitted = fitBatch(job, standing.model);
    if (fitted) {
      settings = { ...settings, recipe: { ...settings.recipe, ...fitted } };
      job.teacher?.dispose();
      job = await open();
    }
    const isBegun = control.resume !== undefined && control.resume !== false;
    const told = isBegun || settings.bnBatches !== undefined;
    const bnBatches = usualBnBatches({ ...job, told }, standing.model);
    if (bnBatches === 0) {
      const batchSize = normBatchSize(settings.recipe);
      const note = told ? undefined : keptNormsNote(standing.model, trainImages(job), batchSize);
      if (note !== undefined) control.data?.onNote?.(note);
      return { settings, job };
    }
    return { settings: { ...settings, bnBatches }, job: withBnBatches(job, bnBatches) };
  } catch (error) {
    job.teacher?.dispose();
    throw error;
  }
}

/** The rounds that are left, in the run's folder, which is released. */
async function carryOut(
  job: PruneJob,
  folder: RunFolder,
  standing: Standing,
  hooks: PruneHooks,
): Promise<PruneRun> {
  const { control } = job;
  try {
    if (standing.lost !== undefined) beginAnew(folder, standing.lost, control);
    writePruningRecord(folder.path, standing.record);
    standing.model.to(job.device);
    const rounds = new Rounds(job, folder, standing, hooks);
    const finished = await rounds.run().catch((error: unknown) => {
      // Passes over calibration images stop by throwing.
      if (control.signal?.aborted === true && error === control.signal.reason) return false;
      throw error;
    });
    if (!finished && standing.record.rounds.length === 0) bringBackReplaced(folder);
    if (control.tensorboard === true) writeEventFile(folder);
    standing.model.eval();
    const { model, info, record } = standing;
    return { finished, model, info, record, result: rounds.result, path: folder.path };
  } catch (error) {
    if (standing.record.rounds.length === 0) discardFailedStart(folder, error);
    throw error;
  } finally {
    folder.release();
  }
}

/** Decided before anything is stored: a run that is gone on with keeps what it began with. */
function withDefaults(told: PruneRequest, earlier: RunFolder | undefined): PruneSettings {
  const begun = todaysSettings(earlier?.config['settings']);
  const known = isSettings(begun) ? begun : undefined;
  const given: PruneSettings = {
    ...told,
    normalize: told.normalize ?? known?.normalize ?? 'mean',
    roundTo: told.roundTo ?? known?.roundTo ?? 1,
    maxRate: told.maxRate ?? known?.maxRate ?? 1,
  };
  const bnBatches = given.bnBatches ?? known?.bnBatches;
  const settings = {
    ...decideImportance(known ? keepImportance(given, known) : given),
    ...(bnBatches !== undefined && { bnBatches }),
  };
  const { rsst, rewind, recipe } = settings;
  if (!rsst) return settings;
  const { epochs } = recipe;
  return { ...settings, rsst: decideThrough(rsst, { epochs, rewind, begun: known?.rsst }) };
}

/** What is wrong with them is found where they are compared. */
const isSettings = (begun: unknown): begun is PruneSettings =>
  typeof begun === 'object' && begun !== null;

/**
 * Tried with the model before the cut, which takes most: the regularised training with what pulls on its units, and
 * the training after a cut, each with its teacher.
 */
function fitBatch(
  { control, settings, regularizing, tuning, dataset, device, teacher }: PruneJob,
  model: ImageModel,
): FittedBatch | undefined {
  if (control.autoBatch !== true || !dataset) return undefined;
  model.to(device);
  const onNote = control.data?.onNote ?? control.hooks?.onNote;
  const pulling = pullingHooks(settings, model, someDoomed(settings, model));
  const teaching = (kind: PrunePhase['kind']) => teachingHooks({ settings, teacher }, kind);
  const trainings = [
    { options: regularizing, hooks: composeHooks(pulling, teaching('regularize')) },
    { options: tuning, hooks: teaching('finetune') },
  ];
  let fitted: FittedBatch | undefined;
  for (const { options, hooks: own } of trainings) {
    if (!options) continue;
    const hooks = { ...composeHooks(control.hooks, own), onNote };
    fitted = fitBatchSize(model, dataset, { ...options, ...fitted }, { hooks }) ?? fitted;
    for (const { name } of model.pruningGroups()) model.normOver?.(name)?.unweigh();
  }
  return fitted;
}

/** In place of the units that are to go, which are not chosen yet: they take as much memory, whichever they are. */
function someDoomed(
  { rsst, rates }: ResolvedPruneSettings,
  model: ImageModel,
): UnitSet | undefined {
  if (rsst?.units !== 'doomed') return undefined;
  const groups = model.pruningGroups().filter(({ kind }) => kind in rates);
  return new Map(groups.map(({ name }) => [name, [0]]));
}

function createFolder(
  settings: PruneSettings,
  control: RunControl,
  { model }: Standing,
  { tuning, dataset }: PruneJob,
): RunFolder {
  return RunFolder.create(
    control.out,
    {
      command: 'prune',
      args: control.args ?? [],
      seed: settings.recipe.seed ?? 0,
      dataset: dataset && datasetRecord(dataset.info),
      model: model.config,
      module: moduleOf(model.config.family),
      source: fileFacts(settings.model),
      ...(tuning && dataset && { train: resolveTrainOptions(tuning, dataset.info) }),
      settings,
    },
    { overwrite: control.overwrite, sources: [settings.model] },
  );
}

/** Before the record says so: one that is killed in between finds the same model missing. */
function beginAnew(folder: RunFolder, lost: string, { data, hooks }: RunControl): void {
  folder.setCheckpointsAside();
  rmSync(folder.metricsPath, { force: true });
  (data?.onNote ?? hooks?.onNote)?.(
    `${lost}: the pruning begins anew with the model that was pruned. What was there is in ${folder.asidePath}.`,
  );
}

function openFolder(
  settings: PruneSettings,
  { out }: RunControl,
  { dataset }: PruneJob,
): RunFolder {
  const folder = RunFolder.open(out, { write: true });
  try {
    // Epochs may have grown; a further resume is checked against what was asked for last. The model and the images may lie
    // elsewhere now.
    const { source } = folder.config as { source?: object };
    folder.update({
      settings,
      ...(dataset && { dataset: datasetRecord(dataset.info) }),
      ...(source && { source: { ...source, path: settings.model } }),
    });
    return folder;
  } catch (error) {
    folder.release();
    throw error;
  }
}
