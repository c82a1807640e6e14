// Carries out one run of a comparison, in this process.
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { RunFolderError, lockedFolder } from '../../training/errors.js';
import { FileLock, LockedError } from '../../files/lock.js';
import { stableJson } from '../../training/options.js';
import { RunFolder } from '../../training/run-folder.js';
import type { StepInfo } from '../../training/types.js';
import { todaysSettings } from '../prune/earlier-names.js';
import { pruneRun } from '../prune/run.js';
import { readPruningRecord } from '../prune/record.js';
import { type RunState, carryOn, runState } from '../run-state.js';
import { trainRun } from '../train-run.js';
import type { BaseRun, CompareRun } from './settings.js';

/** What a child process is told; plain JSON. */
export interface RunOrder {
  readonly run: CompareRun;
  /** Absolute path of the comparison's folder. */
  readonly folder: string;
  readonly device: string;
  readonly threads: number;
  /** The command line of the comparison. */
  readonly args: readonly string[];
}

export interface PerformHooks {
  readonly signal: AbortSignal;
  /** Epochs done, with fractions. */
  readonly onProgress?: (epochs: number) => void;
  readonly onNote?: (note: string) => void;
}

/** How far a run of the comparison in `folder` is. @throws RunFolderError, DataError if it is damaged */
export function stateOf(run: CompareRun, folder: string): RunState {
  const path = join(folder, run.name);
  const state = withoutPlace(run, path, runState(path, run.settings));
  const leftover = ['config.json', 'metrics.jsonl', 'model.safetensors'].find((name) =>
    existsSync(join(path, name)),
  );
  if (state === 'new' && leftover !== undefined) {
    throw new RunFolderError(
      path,
      `compare: ${path} is damaged: it has a ${leftover}, but no config.json that can be read. ` +
        'Delete the folder to do the run again.',
    );
  }
  // A pruning run has its model shortly before its record says what it is.
  const unsaid =
    run.command === 'prune' && readPruningRecord(path)?.rounds.at(-1)?.finished !== true;
  return state === 'finished' && unsaid ? 'unfinished' : state;
}

/** The whole folder may have been moved, which changes the paths of models and nothing else. */
function withoutPlace(run: CompareRun, path: string, state: RunState): RunState {
  if (state !== 'replaced' || run.command !== 'prune') return state;
  const { config, modelPath } = RunFolder.open(path);
  const stored = todaysSettings(config['settings'] as object);
  const same = stableJson({ ...stored, model: run.settings.model }) === stableJson(run.settings);
  // What has not ended is checked against its paths when it goes on.
  return same && existsSync(modelPath) ? 'finished' : state;
}

/**
 * Throws away what was made from another model than the one that is about to be trained.
 * @param state - of the base
 */
export function forgetDependents(
  base: BaseRun,
  runs: readonly CompareRun[],
  folder: string,
  state: RunState,
): void {
  if (state === 'finished' || state === 'unfinished') return;
  for (const run of runs) {
    const path = join(folder, run.name);
    if (run.command === 'prune' && run.after === base.name && RunFolder.isRun(path)) {
      rmSync(path, { recursive: true, force: true });
    }
  }
}

/**
 * Begins the run or goes on with it.
 * @returns false if the signal stopped it
 * @throws what trainRun and pruneRun throw
 */
export async function perform(
  { run, folder, device, args }: RunOrder,
  { signal, onProgress, onNote }: PerformHooks,
): Promise<boolean> {
  const out = join(folder, run.name);
  await unlocked(out, signal);
  // Whoever planned the comparison has opened the data and heard what there is to say of them.
  const shared = { ...carryOn(out, stateOf(run, folder)), device, signal, args };
  const hooks = (before: number) => ({
    onNote,
    onStep: ({ epoch, step, stepsPerEpoch }: StepInfo) => {
      onProgress?.(before + epoch - 1 + step / stepsPerEpoch);
    },
  });
  if (run.command === 'train') {
    const { model, result } = await trainRun(run.settings, { ...shared, hooks: hooks(0) });
    model.dispose();
    return result.finished;
  }
  const { model, finished } = await pruneRun(run.settings, shared, {
    // The regularised training comes first, the fine-tuning last.
    onPhase: ({ kind, epochs, epochsBefore }) =>
      hooks(kind === 'regularize' ? 0 : run.epochs - epochs - epochsBefore),
  });
  model.dispose();
  return finished;
}

/** A process whose parent was killed stops in good order, which takes it a step. */
async function unlocked(out: string, signal: AbortSignal, seconds = 60): Promise<void> {
  if (!existsSync(out)) return;
  for (let left = seconds; ; left -= 0.2) {
    try {
      FileLock.acquire(join(out, 'run.lock'), out).release();
      return;
    } catch (error) {
      if (!(error instanceof LockedError)) throw error;
      if (left <= 0) throw lockedFolder(error);
    }
    await sleep(200, undefined, { signal });
  }
}
