// One run's folder as the page shows it.
import { statSync } from 'node:fs';
import { resolve } from 'node:path';
import {
  type PruningRecord,
  type RunConfig,
  RunFolder,
  createModelFromConfig,
  inspectModel,
  readPruningRecord,
  shellCommand,
} from 'mamba-prune';
import { factsOf, repeatCommand } from './facts.js';
import { epochPoints, stepPoints } from './metrics.js';
import { phasesOf } from './phases.js';
import { pruningData } from './pruning.js';
import type { EpochPoint, ModelSize, RunData, RunMethod, RunState } from './types.js';

/** A run, and where the model lies that it pruned. */
export interface ReadRun {
  readonly data: RunData;
  /** Absolute path of the file; undefined for a dense training. */
  readonly sourcePath: string | undefined;
}

/**
 * Reads a run that may be in the making.
 * @param id - its name in the report
 * @throws RunFolderError, DataError naming the file that is damaged
 */
export function readRun(path: string, id: string): ReadRun {
  const folder = RunFolder.open(path);
  const { config } = folder;
  const record = readPruningRecord(path);
  const lines = folder.readMetrics();
  const phases = phasesOf(config, record, lines);
  const epochs = epochPoints(lines, phases);
  const bytes = bytesOf(folder.modelPath);
  return {
    sourcePath: sourceOf(config, record),
    data: {
      id,
      path: folder.path,
      method: methodOf(record),
      state: stateOf(folder, record),
      created: config.created,
      arch: archOf(config),
      dataset: datasetOf(config),
      seed: config.seed,
      repeat: repeatCommand(config.args, config.cwd, shellCommand),
      facts: factsOf(config),
      source: undefined,
      accuracy: accuracyOf(record, epochs),
      accuracyBefore: record?.accuracy.before ?? null,
      size: record ? { ...after(record), bytes } : denseSize(config, bytes),
      sizeBefore: record && {
        parameters: record.parameters.before,
        macs: record.macs.before,
        bytes: null,
      },
      epochs,
      steps: stepPoints(lines, phases),
      phases,
      pruning: record && pruningData(path, record),
    },
  };
}

const after = ({ parameters, macs }: PruningRecord): Omit<ModelSize, 'bytes'> => ({
  parameters: parameters.after,
  macs: macs.after,
});

function methodOf(record: PruningRecord | undefined): RunMethod {
  const method = record?.method;
  return method === 'oneshot' || method === 'refill' || method === 'rsst' ? method : 'train';
}

function stateOf(folder: RunFolder, record: PruningRecord | undefined): RunState {
  if (folder.isWritten) return 'running';
  const isDone = record
    ? record.rounds.length === record.plannedRounds && record.rounds.at(-1)?.finished === true
    : bytesOf(folder.modelPath) !== null;
  return isDone ? 'finished' : 'stopped';
}

function archOf({ model }: RunConfig): string {
  const { arch } = (model ?? {}) as { arch?: unknown };
  return typeof arch === 'string' ? arch : '?';
}

function datasetOf({ dataset }: RunConfig): RunData['dataset'] {
  const { name, note } = (dataset ?? {}) as { name?: unknown; note?: unknown };
  if (typeof name !== 'string') return undefined;
  return { name, ...(typeof note === 'string' && { note }) };
}

function sourceOf({ cwd }: RunConfig, record: PruningRecord | undefined): string | undefined {
  return record && resolve(cwd, record.source);
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
    const made = createModelFromConfig(model);
    const { parameters, macs } = inspectModel(made);
    made.dispose();
    counted = { parameters, macs };
    counts.set(key, counted);
  }
  return { ...counted, bytes };
}

/** By the configuration: the studio reads a run again whenever it changes. */
const counts = new Map<string, Omit<ModelSize, 'bytes'>>();

const bytesOf = (path: string): number | null =>
  statSync(path, { throwIfNoEntry: false })?.size ?? null;

const isModelConfig = (model: unknown): model is { readonly family: string } =>
  typeof model === 'object' && model !== null && 'family' in model;
