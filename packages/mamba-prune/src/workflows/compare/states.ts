// What stands of the runs of a comparison, also where they were carried out on another machine and came without their
// weights: config.json, metrics.jsonl and pruning.json are enough to know that a run is done, and what it gave.
import { relativePath } from '../../shell.js';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { RunFolderError } from '../../training/errors.js';
import { stableJson } from '../../training/options.js';
import type { RunConfig } from '../../training/run-config.js';
import { RunFolder } from '../../training/run-folder.js';
import { todaysSettings } from '../prune/earlier-names.js';
import { isDone, readPruningRecord } from '../prune/record.js';
import type { RunState } from '../run-state.js';
import { scratchSettings } from './scratch.js';
import type { CompareRun } from './settings.js';

/** The files of a run that results are made from; the others are weights and what goes on from them. */
export const recordFiles = ['config.json', 'metrics.jsonl', 'pruning.json'] as const;

/**
 * How far a run of the comparison in `folder` is.
 * @param widthsFrom - folder with the one-shot run whose widths a scratch run has
 * @throws RunFolderError, DataError if it is damaged
 */
export function stateOf(run: CompareRun, folder: string, widthsFrom = folder): RunState {
  const path = join(folder, run.name);
  if (!existsSync(path) || !RunFolder.isRun(path)) {
    checkNothingLeft(path);
    return 'new';
  }
  const settings = run.method === 'scratch' ? scratchSettings(run, widthsFrom) : run.settings;
  // Until the cut is made nobody knows what it would have to be.
  if (!settings) return 'unfinished';
  const { config } = RunFolder.open(path);
  const stored = todaysSettings(config['settings']);
  // Where a pruned model lies changes where the whole folder is moved.
  const places = run.command === 'prune' ? ['data', 'model'] : ['data'];
  const undecided = decidedByRun.filter((name) => !(name in settings));
  if (!isSame(stored, settings, [...places, ...undecided]) || isOfOtherDense(run, config))
    return 'replaced';
  if (isWhole(run, path)) return 'finished';
  // What has not ended is checked against the path of its model when it goes on.
  return isSame(stored, settings, ['data', ...undecided]) ? 'unfinished' : 'replaced';
}

/** What a run finds out of its model where it is told nothing, and writes into its settings. */
const decidedByRun = ['bnBatches'] as const;

/** Whether a run was made from another dense model than the one that is given. */
function isOfOtherDense(run: CompareRun, { source }: RunConfig): boolean {
  if (run.command !== 'prune' || run.source === undefined) return false;
  return (source as { readonly sha256?: unknown } | undefined)?.sha256 !== run.source;
}

function isSame(stored: unknown, settings: object, ignored: readonly string[]): boolean {
  const rest = (of: unknown): string =>
    stableJson(
      typeof of === 'object' && of !== null
        ? Object.fromEntries(
            Object.entries(withoutOff(of)).filter(([name]) => !ignored.includes(name)),
          )
        : of,
    );
  return rest(stored) === rest(settings);
}

/** Runs of earlier versions do not say that they have no one schedule through the cut. */
function withoutOff(settings: object): object {
  if (!('rsst' in settings) || typeof settings.rsst !== 'object') return settings;
  const { lrThrough, ...rsst } = { lrThrough: undefined, ...settings.rsst } as {
    readonly lrThrough?: boolean | undefined;
  };
  return lrThrough === true ? settings : { ...settings, rsst };
}

/** Whether its results are there: with its model, or, where it was brought here without, with nothing to go on from. */
function isWhole(run: CompareRun, path: string): boolean {
  const { modelPath, lastCheckpoint, previousCheckpoint } = RunFolder.open(path);
  if (run.command === 'prune') {
    // Its model is written before its record says that it is.
    return isDone(readPruningRecord(path));
  }
  if (existsSync(modelPath)) return true;
  const goesOn = existsSync(lastCheckpoint) || existsSync(previousCheckpoint);
  return !goesOn && trainedAccuracy(path, run.epochs) !== undefined;
}

/**
 * What a training reached after all its epochs, measured as a pruning run measures it: with averaged weights, if it
 * averages.
 * @returns undefined if the epoch is not there
 * @throws RunFolderError if its metrics are damaged
 */
export function trainedAccuracy(path: string, epochs: number): number | undefined {
  const last = RunFolder.open(path)
    .readMetrics()
    .findLast(({ type, phase }) => type === 'epoch' && phase === 'train');
  if (last?.type !== 'epoch' || last.epoch !== epochs) return undefined;
  return last.emaAccuracy ?? last.valAccuracy ?? undefined;
}

/** @throws RunFolderError if there is something of a run whose config.json cannot be read */
function checkNothingLeft(path: string): void {
  const leftover = ['config.json', 'metrics.jsonl', 'model.safetensors'].find((name) =>
    existsSync(join(path, name)),
  );
  if (leftover === undefined) return;
  throw new RunFolderError(
    path,
    `compare: ${relativePath(path)} is damaged: it has a ${leftover}, but no config.json that can be read. ` +
      'Delete the folder to do the run again.',
  );
}

/** Whether the model of a run is there for those that begin with it. */
export const hasModel = (name: string, folder: string): boolean =>
  existsSync(join(folder, name, 'model.safetensors'));
