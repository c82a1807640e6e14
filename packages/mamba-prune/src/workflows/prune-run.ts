import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { inspectModel } from '../bench/inspect.js';
import type { Dataset } from '../data/types.js';
import { UsageError } from '../errors.js';
import type { ImageModel, ModelConfigBase } from '../models/image-model.js';
import { type ModelInfo, loadModel, saveModel } from '../models/model-file.js';
import { createModelFromConfig } from '../models/registry.js';
import type { KeptUnits } from '../pruning/groups.js';
import { chooseUnits } from '../pruning/oneshot.js';
import { pruneModel } from '../pruning/surgery.js';
import { resolveTrainOptions } from '../training/options.js';
import { RunFolder } from '../training/run-folder.js';
import { train } from '../training/trainer.js';
import type { TrainHooks, TrainOptions, TrainResult } from '../training/types.js';
import { evaluateModel } from './evaluate-model.js';
import { openDataFor, withModelInfo } from './fit.js';
import { composeKept, encodeKept, keptInHistory } from './kept-units.js';
import { type PruningRecord, readPruningRecord, writePruningRecord } from './pruning-record.js';
import { type PruneSettings, type RunControl, checkSame, trainOptionsOf } from './settings.js';

export interface PruneRun {
  /** False if the signal stopped it: resume to go on. */
  readonly finished: boolean;
  /** The pruned model; the caller disposes it. */
  readonly model: ImageModel;
  readonly info: ModelInfo;
  readonly record: PruningRecord;
  /** Of the fine-tuning, if there was one. */
  readonly result: TrainResult | undefined;
  /** Absolute path of the run's folder. */
  readonly path: string;
}

export interface PruneHooks {
  /** How far an evaluation is; `what` is 'before' or 'after the cut'. */
  readonly onEvaluate?: ((what: string, done: number, total: number) => void) | undefined;
  /** After the cut, before the fine-tuning. */
  readonly onCut?: ((record: PruningRecord, dataset: Dataset | undefined) => void) | undefined;
}

/**
 * Prunes a model into a run folder: model.safetensors, config.json, pruning.json. With a data set its
 * accuracy is measured before and after the cut; with epochs it is trained on. Everything that can be
 * wrong is found before the first of these.
 *
 * @throws UsageError, DataError, FormatError, RunFolderError, ResumeError, TrainingDivergedError
 */
export async function pruneRun(
  settings: PruneSettings,
  control: RunControl,
  hooks: PruneHooks = {},
): Promise<PruneRun> {
  const resuming = control.resume !== undefined && control.resume !== false;
  const earlier = resuming ? RunFolder.open(control.out) : undefined;
  const start = (earlier && goOn(earlier, settings)) ?? begin(settings);
  const { model, info, source } = start;
  let { record } = start;
  try {
    const { dataset, options } = await openTraining(settings, control, model, info);
    const run = earlier
      ? RunFolder.open(control.out, { write: true })
      : createRun(settings, control, start, options, dataset);
    try {
      writePruningRecord(run.path, record);
      model.to(control.device ?? 'cpu');
      const measured = await measure();
      if (!measured)
        return { finished: false, model, info, record, result: undefined, path: run.path };
      hooks.onCut?.(record, dataset);
      const result = await tune(run, dataset, options);
      if (result?.finished === false) {
        return { finished: false, model, info, record, result, path: run.path };
      }
      model.eval();
      return { finished: true, model, info, record, result, path: run.path };
    } finally {
      run.release();
    }

    /** @returns false if it was stopped */
    async function measure(): Promise<boolean> {
      if (!dataset || record.accuracy.afterCut !== null) return true;
      const accuracyOf = async (
        what: string,
        measured: ImageModel,
      ): Promise<number | undefined> => {
        const evaluation = await evaluateModel(measured, dataset, {
          device: control.device ?? 'cpu',
          images: settings.recipe.maxTestImages ?? undefined,
          seed: settings.recipe.seed ?? 0,
          ...(control.signal && { signal: control.signal }),
          onProgress: (done, total) => hooks.onEvaluate?.(what, done, total),
        });
        return evaluation?.accuracy;
      };
      const original = source?.to(control.device ?? 'cpu');
      const before = original ? await accuracyOf('before', original) : record.accuracy.before;
      if (before === undefined) return false;
      const afterCut = await accuracyOf('after the cut', model);
      if (afterCut === undefined) return false;
      record = { ...record, accuracy: { before, afterCut, after: null } };
      writePruningRecord(run.path, record);
      return true;
    }

    async function tune(
      folder: RunFolder,
      data: Dataset | undefined,
      how: TrainOptions | undefined,
    ): Promise<TrainResult | undefined> {
      const save: NonNullable<TrainHooks['saveModel']> = (path, made, { valAccuracy, epoch }) => {
        const step = { step: 'finetune', dataset: settings.dataset, epoch, accuracy: valAccuracy };
        saveModel(path, made as ImageModel, { ...info, history: [...info.history, step] });
      };
      if (!data || !how) {
        saveModel(folder.modelPath, model, info);
        return undefined;
      }
      const result = await train(
        model,
        data,
        how,
        folder,
        { ...control.hooks, saveModel: save },
        {
          phase: 'finetune',
          signal: control.signal,
          resume: control.resume,
          dataThreads: control.dataThreads,
        },
      );
      if (result.finished) {
        record = { ...record, accuracy: { ...record.accuracy, after: result.valAccuracy } };
        writePruningRecord(folder.path, record);
      }
      return result;
    }
  } catch (error) {
    model.dispose();
    throw error;
  } finally {
    source?.dispose();
  }
}

interface Start {
  readonly model: ImageModel;
  /** With the cut in its history. */
  readonly info: ModelInfo;
  readonly record: PruningRecord;
  /** The model that was pruned, where it is still needed. */
  readonly source: ImageModel | undefined;
}

/** Loads and cuts. */
function begin(settings: PruneSettings): Start {
  const { model: source, info } = loadModel(settings.model);
  try {
    return cut(source, info, settings, choose(source, settings));
  } catch (error) {
    source.dispose();
    throw error;
  }
}

function choose(source: ImageModel, settings: PruneSettings): KeptUnits {
  const { rates, importance, ranking, normalize, roundTo, maxRate } = settings;
  const options = { rates, importance, scope: ranking, normalize, roundTo, maxRate };
  return chooseUnits(source, options);
}

function cut(
  source: ImageModel,
  info: ModelInfo,
  settings: PruneSettings,
  keptInSource: KeptUnits,
): Start {
  const before = inspectModel(source, info);
  const model = pruneModel(source, keptInSource);
  const after = inspectModel(model, info);
  const kept = composeKept(keptInHistory(info.history), keptInSource);
  const widthsOf = (groups: readonly { name: string; width: number }[]): Record<string, number> =>
    Object.fromEntries(groups.map(({ name, width }) => [name, width]));
  const { method, rates, importance, ranking, normalize, roundTo, maxRate } = settings;
  const how = { method, rates, importance, ranking, normalize, roundTo, maxRate };
  const record: PruningRecord = {
    kind: 'mamba-prune pruning',
    format: 1,
    source: resolve(settings.model),
    ...how,
    denseWidths: Object.fromEntries(before.groups.map((g) => [g.name, g.denseWidth])),
    widthsBefore: widthsOf(before.groups),
    widthsAfter: widthsOf(after.groups),
    kept: lists(kept),
    keptInSource: lists(keptInSource),
    parameters: { before: before.parameters, after: after.parameters },
    macs: { before: before.macs, after: after.macs },
    accuracy: { before: null, afterCut: null, after: null },
  };
  const { widthsBefore, widthsAfter } = record;
  const step = { step: 'prune', ...how, widthsBefore, widthsAfter, kept: encodeKept(kept) };
  return { model, info: { ...info, history: [...info.history, step] }, record, source };
}

const lists = (kept: KeptUnits): Record<string, number[]> =>
  Object.fromEntries(Array.from(kept, ([name, units]) => [name, [...units]]));

/**
 * Where a run stopped. Once there is a checkpoint the original model is not needed any more, and
 * may be gone.
 */
function goOn(run: RunFolder, settings: PruneSettings): Start | undefined {
  checkSame('pruning', cutSettings(settings), run.config['settings']);
  const record = readPruningRecord(run.path);
  // Killed before anything was written: as if it had not begun.
  if (!record) return undefined;
  if (existsSync(run.lastCheckpoint)) {
    return {
      model: createModelFromConfig(run.config.model as ModelConfigBase),
      info: run.config['modelInfo'] as ModelInfo,
      record,
      source: undefined,
    };
  }
  const { model: source, info } = loadModel(settings.model);
  return cut(source, info, settings, new Map(Object.entries(record.keptInSource)));
}

/** What must not change when a run is resumed; the recipe is checked by the trainer. */
function cutSettings(settings: PruneSettings): object {
  const free: ReadonlySet<string> = new Set(['recipe', 'data']);
  return Object.fromEntries(Object.entries(settings).filter(([name]) => !free.has(name)));
}

async function openTraining(
  settings: PruneSettings,
  control: RunControl,
  model: ImageModel,
  info: ModelInfo,
): Promise<{ dataset?: Dataset; options?: TrainOptions }> {
  const { dataset: name, data, recipe } = settings;
  if (name === undefined) {
    if (recipe.epochs === 0) return {};
    throw new UsageError(
      'prune: got epochs for fine-tuning but no data set, expected one. Give --dataset, or --epochs 0.',
    );
  }
  const opened = await openDataFor(model, { dataset: name, data }, control.data);
  const dataset = withModelInfo(opened, info);
  if (recipe.epochs === 0) return { dataset };
  const options = trainOptionsOf(recipe, dataset.info);
  resolveTrainOptions(options, dataset.info);
  return { dataset, options };
}

function createRun(
  settings: PruneSettings,
  control: RunControl,
  { model, info }: Start,
  options: TrainOptions | undefined,
  dataset: Dataset | undefined,
): RunFolder {
  return RunFolder.create(
    control.out,
    {
      command: 'prune',
      args: control.args ?? [],
      seed: settings.recipe.seed ?? 0,
      dataset: dataset && { name: dataset.info.name, dir: settings.data, note: dataset.info.note },
      model: model.config,
      modelInfo: info,
      ...(options && dataset && { train: resolveTrainOptions(options, dataset.info) }),
      settings,
    },
    { overwrite: control.overwrite },
  );
}
