// Carries out one run of a comparison, in this process.
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { FileLock, LockedError } from '../../files/lock.js';
import { lockedFolder } from '../../training/errors.js';
import type { StepInfo } from '../../training/hooks.js';
import { RunFolder } from '../../training/run-folder.js';
import { pruneRun } from '../prune/run.js';
import { type RunState, carryOn } from '../run-state.js';
import { trainRun } from '../train-run.js';
import { scratchSettings } from './scratch.js';
import type { BaseRun, CompareRun } from './settings.js';
import { stateOf } from './states.js';

/** What a child process is told; plain JSON. */
export interface RunOrder {
  readonly run: CompareRun;
  /** Absolute path of the comparison's folder. */
  readonly folder: string;
  readonly device: string;
  readonly threads: number;
  /** Of those that prepare images. */
  readonly dataThreads?: number | undefined;
  readonly tensorboard?: boolean | undefined;
  /** The command line of the comparison. */
  readonly args: readonly string[];
}

export interface PerformHooks {
  readonly signal: AbortSignal;
  /** Epochs done, with fractions. */
  readonly onProgress?: (epochs: number) => void;
  readonly onNote?: (note: string) => void;
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
  { run, folder, device, dataThreads, tensorboard, args }: RunOrder,
  { signal, onProgress, onNote }: PerformHooks,
): Promise<boolean> {
  const out = join(folder, run.name);
  await unlocked(out, signal);
  const state = stateOf(run, folder);
  // Such as a scratch run whose widths were not known when the comparison was planned.
  if (state === 'finished') return true;
  // Whoever planned the comparison has opened the data and heard what there is to say of them.
  const work = { device, dataThreads, tensorboard, signal, args };
  const shared = { ...carryOn(out, state), ...work };
  const hooks = (before: number) => ({
    onNote,
    onStep: ({ epoch, step, stepsPerEpoch }: StepInfo) => {
      onProgress?.(before + epoch - 1 + step / stepsPerEpoch);
    },
  });
  if (run.command === 'train') {
    const settings = run.method === 'scratch' ? scratchSettings(run, folder) : run.settings;
    if (!settings)
      throw new Error(`${run.name} has the widths of ${run.method ?? ''}, which is not done`);
    const { model, result } = await trainRun(settings, { ...shared, hooks: hooks(0) });
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
