// Carries out the runs of a comparison that are not done.
import { relativePath } from '../../shell.js';
import { join } from 'node:path';
import { UsageError } from '../../errors.js';
import { memorySentence } from '../../memory.js';
import { RunFolder } from '../../training/run-folder.js';
import type { RunState } from '../run-state.js';
import { EpochSum } from './epoch-sum.js';
import type { CompareFolder } from './folder.js';
import { forgetDependents } from './perform.js';
import { startProcess } from './processes.js';
import { runQueue } from './queue.js';
import type { CompareControl, CompareHooks } from './request.js';
import type { Division } from './resources.js';
import { selectRuns } from './select-runs.js';
import type { CompareRun } from './settings.js';
import { hasModel, stateOf } from './states.js';

interface CarryOutOptions {
  readonly control: CompareControl;
  readonly division: Division;
  readonly hooks: CompareHooks;
  /** When results have changed. */
  readonly onRunEnd: () => Promise<unknown>;
}

/**
 * @param planned - all runs of the comparison
 * @returns false if the signal stopped it
 * @throws UsageError if a run that is to be done lacks what another machine has; Error if one failed, naming it
 */
export async function carryOut(
  folder: CompareFolder,
  planned: readonly CompareRun[],
  { control, division, hooks, onRunEnd }: CarryOutOptions,
): Promise<boolean> {
  const { path, settings } = folder;
  const { device = 'cpu', dataThreads, tensorboard, signal, args = [] } = control;
  const { start = startProcess } = control;
  const { runs, isDone } = toDo(planned, path, control.only);
  checkModels(
    runs.filter((run) => !isDone(run)),
    isDone,
    planned,
    path,
  );
  const done = runs.filter(isDone);
  hooks.onPlan?.({
    ...division,
    threads: settings.threads,
    settings,
    runs,
    finished: done.length,
    finishedEpochs: done.reduce((sum, { epochs }) => sum + epochs, 0),
  });
  const progress = new EpochSum(runs, done, hooks.onProgress);
  return runQueue(runs, {
    limit: division.jobs,
    done: planned.filter(isDone).map(({ name }) => name),
    signal,
    run: async (run, stop) => {
      const whole = await carryOutOne(run, stop);
      if (!whole) return false;
      folder.dropReplaced();
      progress.set(run.name, run.epochs);
      await onRunEnd();
      hooks.onRunEnd?.(run, accuracyOf(join(path, run.name)));
      return true;
    },
  });

  async function carryOutOne(run: CompareRun, stop: AbortSignal): Promise<boolean> {
    const { threads } = settings;
    const order = { run, folder: path, device, threads, dataThreads, tensorboard, args };
    const running = start(order, {
      onProgress: (epochs) => {
        progress.set(run.name, epochs);
      },
      onNote: (note) => hooks.onNote?.(`${run.name}: ${note}`),
    });
    stop.addEventListener('abort', running.stop, { once: true });
    if (stop.aborted) running.stop();
    try {
      return await running.ended;
    } catch (error) {
      throw new Error(
        `compare: the run ${run.name} failed: ${memorySentence(error) ?? (error as Error).message}\n` +
          `The other runs are kept. The same command tries again; delete ${relativePath(join(path, run.name))} to do this run anew.`,
        { cause: error },
      );
    } finally {
      stop.removeEventListener('abort', running.stop);
    }
  }
}

/**
 * The runs that are asked for, and which of all are done. What was made from a base that is to be trained anew is thrown
 * away: it comes after it.
 */
function toDo(
  planned: readonly CompareRun[],
  folder: string,
  only: readonly string[] | undefined,
): { runs: readonly CompareRun[]; isDone: (run: CompareRun) => boolean } {
  const states = new Map<string, RunState>();
  const isDone = ({ name }: CompareRun): boolean => states.get(name) === 'finished';
  const look = (forgets: (run: CompareRun) => boolean): void => {
    for (const run of planned) {
      const state = stateOf(run, folder);
      states.set(run.name, state);
      const isBase = run.command === 'train' && run.method === undefined;
      if (isBase && forgets(run)) forgetDependents(run, planned, folder, state);
    }
  };
  if (only === undefined) look(() => true);
  else {
    // A base that nothing of this part needs may be at home elsewhere, and what was made from it here.
    look(() => false);
    const selected = new Set(selectRuns(planned, only, isDone));
    look((run) => selected.has(run));
  }
  return { runs: selectRuns(planned, only, isDone), isDone };
}

/** A run may have been brought here without its model, which is missed only by what begins with it. */
function checkModels(
  waiting: readonly CompareRun[],
  isDone: (run: CompareRun) => boolean,
  planned: readonly CompareRun[],
  folder: string,
): void {
  for (const run of waiting) {
    if (run.command !== 'prune' || run.after === undefined) continue;
    const base = planned.find(({ name }) => name === run.after);
    if (!base || !isDone(base) || hasModel(base.name, folder)) continue;
    throw new UsageError(
      `compare: ${run.name} begins with the model of ${base.name}, which is done, but was brought to ` +
        `${relativePath(join(folder, base.name))} without its model.safetensors. Bring the file too, or do ${run.name} where it is.`,
    );
  }
}

/** Of a run that is done. */
function accuracyOf(path: string): number | null {
  const last = RunFolder.open(path)
    .readMetrics()
    .findLast(({ type }) => type === 'epoch');
  if (last?.type !== 'epoch') return null;
  return last.emaAccuracy ?? last.valAccuracy;
}
