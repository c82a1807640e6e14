// One run's folder as the page shows it.
import { statSync } from 'node:fs';
import { resolve } from 'node:path';
import { RunFolder, inspectModel } from 'mamba-prune';
import { createModelFromConfig, parametersOf } from 'mamba-prune/models';
import type { RunConfig } from 'mamba-prune/training';
import { type PruningRecord, readPruningRecord } from 'mamba-prune/workflows';
import { checkModelFile, modelLabel } from 'mamba-prune/internal';
import type { EpochPoint } from '../page-data/epochs.js';
import type { ModelSize, RunData, RunMethod, RunState } from '../page-data/run.js';
import { factsOf, repeatCommand } from './facts.js';
import { type OwnFolder, ownFolderOf } from './folder-names.js';
import { checkLines, epochPoints, stepPoints } from './metrics.js';
import { phasesOf } from './phases.js';
import { pruningData } from './pruning.js';
import { checkConfig } from './run-config.js';
import { runSensitivity } from './sensitivity.js';
import { trainingOf } from './training.js';

/** A run, and the model that it began with. */
export interface ReadRun {
  readonly data: RunData;
  /** Undefined for a training that began with random weights. */
  readonly source: Source | undefined;
  /** Of images in a folder of one's own. */
  readonly images: OwnFolder | undefined;
  /** Why something of it is not shown, a model that is damaged for instance. */
  readonly problems: readonly string[];
}

/** The file of a model as it was when the run began; it may have moved since. */
export interface Source {
  /** Absolute. */
  readonly path: string;
  /** Runs of older versions do not say these. */
  readonly sha256?: string | undefined;
  readonly bytes?: number | undefined;
}

/**
 * Reads a run that may be in the making.
 * @param id - its name in the report
 * @throws RunFolderError, DataError, FormatError naming the file that is damaged; a damaged model is a
 *   problem of the run, which is shown as if there were none
 */
export function readRun(path: string, id: string): ReadRun {
  const folder = RunFolder.open(path);
  const { config } = folder;
  checkConfig(folder.configPath, config);
  const record = readPruningRecord(path);
  const lines = folder.readMetrics();
  checkLines(folder.metricsPath, lines);
  const phases = phasesOf(config, record, lines);
  const epochs = epochPoints(lines, phases);
  const { bytes, problems } = modelFile(folder);
  const sensitivity = runSensitivity(path, id);
  const source = record ? sourceOf(config, record) : initOf(config);
  return {
    source,
    images: ownFolderOf(config),
    problems: [...problems, ...(sensitivity.problem === undefined ? [] : [sensitivity.problem])],
    data: {
      id,
      path: folder.path,
      method: methodOf(record),
      state: stateOf(folder, record, bytes),
      created: config.created,
      arch: archOf(config),
      dataset: datasetOf(config),
      seed: config.seed,
      repeat: repeatCommand(config.args, config.cwd),
      facts: factsOf(config),
      source: undefined,
      began: source && { run: undefined, model: source.sha256 ?? source.path },
      isDense: record === undefined ? !isNarrow(config) : isDense(record),
      training: trainingOf(config, record, phases),
      accuracy: accuracyOf(record, epochs),
      accuracyBefore: record?.accuracy.before ?? null,
      size: record ? { ...after(record), bytes } : denseSize(config, bytes),
      sizeBefore: record && {
        parameters: record.parameters.before,
        macs: record.macs.before,
        bytes: source?.bytes ?? (source ? bytesOf(source.path) : null),
      },
      epochs,
      steps: stepPoints(lines, phases),
      phases,
      pruning: record && pruningData(path, record),
      ...(sensitivity.data && { sensitivity: sensitivity.data }),
    },
  };
}

const after = ({ parameters, macs }: PruningRecord): Omit<ModelSize, 'bytes'> => ({
  parameters: parameters.after,
  macs: macs.after,
});

const isDense = ({ denseWidths, widthsAfter }: PruningRecord): boolean =>
  Object.entries(denseWidths).every(([name, width]) => (widthsAfter[name] ?? width) === width);

/** A training from scratch at the size of a pruned model. */
const isNarrow = ({ settings }: RunConfig): boolean =>
  typeof settings === 'object' && settings !== null && 'widths' in settings;

function methodOf(record: PruningRecord | undefined): RunMethod {
  // The dense models of a comparison are trained on as the pruned ones are: cut, but by nothing.
  const rates = Object.values(record?.rates ?? {});
  if (record?.method === 'oneshot' && rates.every((rate) => rate === 0) && isDense(record)) {
    return 'train';
  }
  const method = record?.method;
  return method === 'oneshot' || method === 'refill' || method === 'rsst' ? method : 'train';
}

function stateOf(
  folder: RunFolder,
  record: PruningRecord | undefined,
  bytes: number | null,
): RunState {
  if (folder.isWritten) return 'running';
  const isDone = record
    ? record.rounds.length === record.plannedRounds && record.rounds.at(-1)?.finished === true
    : bytes !== null;
  return isDone ? 'finished' : 'stopped';
}

function archOf({ model }: RunConfig): string {
  const { arch } = (model ?? {}) as { arch?: unknown };
  return typeof arch === 'string' ? modelLabel(arch, model ?? {}) : '?';
}

function datasetOf({ dataset }: RunConfig): RunData['dataset'] {
  const { name, note } = (dataset ?? {}) as { name?: unknown; note?: unknown };
  if (typeof name !== 'string') return undefined;
  return { name, ...(typeof note === 'string' && { note }) };
}

function sourceOf(config: RunConfig, record: PruningRecord): Source {
  return { ...factsOfSource(config), path: resolve(config.cwd, record.source) };
}

/** By which the model is known wherever it lies; runs of earlier versions that were not cut do not have it. */
function factsOfSource(config: RunConfig): Pick<Source, 'sha256' | 'bytes'> {
  const { sha256, bytes } = (config['source'] ?? {}) as Partial<Source>;
  return { sha256, bytes };
}

/** Of a training that went on with the weights of a file. */
function initOf(config: RunConfig): Source | undefined {
  const { init } = (config['settings'] ?? {}) as { init?: unknown };
  if (typeof init !== 'string') return undefined;
  return { ...factsOfSource(config), path: resolve(config.cwd, init) };
}

/** Of the finished model where that was measured, else of the last epoch that was. */
function accuracyOf(
  record: PruningRecord | undefined,
  epochs: readonly EpochPoint[],
): number | null {
  if (record?.accuracy.after != null) return record.accuracy.after;
  const last = epochs.findLast(({ valAccuracy }) => valAccuracy !== null);
  return last?.emaAccuracy ?? last?.valAccuracy ?? record?.accuracy.afterCut ?? null;
}

/** Counted from a model of the same shape: it has no weights of the run, and lives a moment. */
function denseSize({ model }: RunConfig, bytes: number | null): ModelSize | undefined {
  if (!isModelConfig(model)) return undefined;
  const key = JSON.stringify(model);
  let counted = counts.get(key);
  if (!counted) {
    const parameters = parametersIn(model);
    if (!(parameters <= maxParameters)) return undefined;
    const made = createModelFromConfig(model);
    const { macs } = inspectModel(made);
    made.dispose();
    counted = { parameters, macs };
    counts.set(key, counted);
  }
  return { ...counted, bytes };
}

/** A model of more parameters is not made only to be counted. */
const maxParameters = 2 ** 28;

/** NaN for what no model has. */
function parametersIn(model: { readonly family: string }): number {
  try {
    return parametersOf(model);
  } catch {
    return NaN;
  }
}

/** Size of the finished model; a file that cannot be read counts as none, and is named. */
function modelFile({ modelPath }: RunFolder): {
  readonly bytes: number | null;
  readonly problems: readonly string[];
} {
  const bytes = bytesOf(modelPath);
  if (bytes === null) return { bytes, problems: [] };
  try {
    checkModelFile(modelPath);
    return { bytes, problems: [] };
  } catch (error) {
    return { bytes: null, problems: [`A model was left out: ${(error as Error).message}`] };
  }
}

/** By the configuration: the studio reads a run again whenever it changes. */
const counts = new Map<string, Omit<ModelSize, 'bytes'>>();

const bytesOf = (path: string): number | null =>
  statSync(path, { throwIfNoEntry: false })?.size ?? null;

const isModelConfig = (model: unknown): model is { readonly family: string } =>
  typeof model === 'object' && model !== null && 'family' in model;
