// Dense, one-shot, Refill and RSST from the same models, at equal size and equal training.
import { join } from 'node:path';
import { MemorySplit } from '../../data/memory-split.js';
import type { Dataset } from '../../data/types.js';
import { createModel } from '../../models/registry.js';
import { defaultKinds, groupsOfKinds } from '../../pruning/select-units.js';
import { type OptionKinds, requireOptions } from '../../option-checks.js';
import { RunFolder } from '../../training/run-folder.js';
import { type DataHooks, openData } from '../fit.js';
import { decideThrough } from '../prune/lr-through.js';
import { type ImportanceInputs, decideImportance, keepImportance } from '../prune/settings.js';
import { trainSettingsKinds } from '../settings.js';
import type { RunState } from '../run-state.js';
import { modelOptionsFor } from '../train-run.js';
import { CompareFolder } from './folder.js';
import { forgetDependents, stateOf } from './perform.js';
import { type StartRun, startProcess } from './processes.js';
import { runQueue } from './queue.js';
import { writeResults } from './report.js';
import { type Division, divideMachine, thisMachine, trainingBytes } from './resources.js';
import { type CompareResults, readResults } from './results.js';
import {
  type CompareCut,
  type CompareRun,
  type CompareSettings,
  checkCompareSettings,
  planRuns,
  todaysComparison,
} from './settings.js';

/** As `CompareSettings`, with what can be worked out left out. */
export interface CompareRequest extends Omit<CompareSettings, 'targets' | 'threads'> {
  /** Kinds of groups to cut, or all. By default those that are not optional. */
  readonly targets?: readonly string[] | 'all' | undefined;
  /** By default as many as leave a core for each run. */
  readonly threads?: number | undefined;
}

export interface CompareControl {
  /** Folder of the comparison; one that has begun is gone on with. */
  readonly out: string;
  /** Throw away a comparison that is there. */
  readonly overwrite?: boolean | undefined;
  /** Runs at once. By default as many as cores and memory allow. */
  readonly jobs?: number | undefined;
  /** Default `cpu`. */
  readonly device?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  /** The command line, for the files. */
  readonly args?: readonly string[] | undefined;
  readonly data?: DataHooks | undefined;
  /** How a run is carried out. By default a process of its own. */
  readonly start?: StartRun | undefined;
}

const requestKinds: OptionKinds<CompareRequest> = {
  train: 'object',
  finetune: 'object',
  seeds: 'array',
  rates: 'array',
  targets: ['array', 'string'],
  cut: 'object',
  refill: 'object',
  rsst: 'object',
  threads: 'number',
};

const neededOfRequest = ['train', 'finetune', 'seeds', 'rates', 'cut', 'refill', 'rsst'] as const;

const controlKinds: OptionKinds<CompareControl> = {
  out: 'string',
  overwrite: 'boolean',
  jobs: 'number',
  device: 'string',
  signal: 'object',
  args: 'array',
  data: 'object',
  start: 'function',
};

export interface ComparePlan extends Division {
  readonly settings: CompareSettings;
  readonly runs: readonly CompareRun[];
  /** Runs that are done already. */
  readonly finished: number;
  /** Of those runs. */
  readonly finishedEpochs: number;
}

export interface CompareHooks {
  /** When everything is checked and the work begins. */
  readonly onPlan?: ((plan: ComparePlan) => void) | undefined;
  /** Epochs of all runs together, with fractions. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
  readonly onRunEnd?: ((run: CompareRun, accuracy: number | null) => void) | undefined;
  readonly onNote?: ((note: string) => void) | undefined;
}

export interface Comparison {
  /** False if the signal stopped it: the same call goes on. */
  readonly finished: boolean;
  readonly settings: CompareSettings;
  readonly results: CompareResults;
  /**
   * Absolute path of the folder, with results.md and results.json; with accuracy-macs.svg and .png where
   * `@mamba-prune/report` is installed, which draws them.
   */
  readonly path: string;
}

/**
 * Trains a dense model for every seed, and from it each method at each rate with the same number of
 * further epochs, each in a process of its own. Runs that are done are kept; a comparison that was
 * stopped, or killed, goes on where it was when it is called again.
 *
 * @throws UsageError, DataError, RunFolderError; Error if a run failed, naming it
 */
export async function compare(
  given: CompareRequest,
  control: CompareControl,
  hooks: CompareHooks = {},
): Promise<Comparison> {
  requireOptions('compare', given, requestKinds, neededOfRequest);
  const request = todaysComparison(given);
  requireOptions('compare: control', control, controlKinds, ['out']);
  const { device = 'cpu', signal, args = [], start = startProcess } = control;
  const { targets, bytes } = await examine(request, control.data);
  const side = request.seeds.length * (1 + 3 * request.rates.length);
  const division = divide(control.jobs, request.threads, bytes, side, device);
  const begun = CompareFolder.settingsOf(control.out, control);
  const epochs = request.finetune.epochs - request.rsst.epochs;
  const wanted: CompareSettings = {
    ...request,
    targets,
    threads: division.threads,
    cut: cutOf(request, begun),
    rsst: decideThrough(request.rsst, { epochs, begun: begun?.rsst }),
  };
  checkCompareSettings(wanted);
  const folder = CompareFolder.open(control.out, wanted, { args, overwrite: control.overwrite });
  try {
    const { settings, path } = folder;
    const runs = planRuns(settings, path);
    const states = new Map<string, RunState>();
    for (const run of runs) {
      // A base that is trained anew makes what was pruned from it worthless: its runs come after it.
      const state = stateOf(run, path);
      states.set(run.name, state);
      if (run.command === 'train') forgetDependents(run, runs, path, state);
    }
    const done = runs.filter(({ name }) => states.get(name) === 'finished');
    hooks.onPlan?.({
      ...division,
      threads: settings.threads,
      settings,
      runs,
      finished: done.length,
      finishedEpochs: done.reduce((sum, { epochs }) => sum + epochs, 0),
    });
    const progress = new EpochSum(runs, done, hooks.onProgress);
    const command = ['mamba-prune', ...args].join(' ');
    const finished = await runQueue(runs, {
      limit: division.jobs,
      done: done.map(({ name }) => name),
      signal,
      run: async (run, stop) => {
        const whole = await carryOut(run, stop);
        if (!whole) return false;
        progress.set(run.name, run.epochs);
        await writeResults(folder, readResults(settings, runs, path), { chart: false, command });
        hooks.onRunEnd?.(run, accuracyOf(join(path, run.name)));
        return true;
      },
    });
    const results = readResults(settings, runs, path);
    const note = await writeResults(folder, results, { chart: finished, command });
    if (note !== undefined) hooks.onNote?.(note);
    return { finished, settings, results, path };

    async function carryOut(run: CompareRun, stop: AbortSignal): Promise<boolean> {
      const order = { run, folder: path, device, threads: settings.threads, args };
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
          `compare: the run ${run.name} failed: ${(error as Error).message}\n` +
            `The other runs are kept. The same command tries again; delete ${join(path, run.name)} to do this run anew.`,
          { cause: error },
        );
      } finally {
        stop.removeEventListener('abort', running.stop);
      }
    }
  } finally {
    folder.release();
  }
}

/** With an importance: that of a comparison which is gone on with, or the default for its images. */
function cutOf({ cut, train }: CompareRequest, begun: CompareSettings | undefined): CompareCut {
  const { importance, importanceReason } = decideImportance<ImportanceInputs>({
    ...keepImportance(cut, begun?.cut ?? {}),
    dataset: train.dataset,
  });
  return { ...cut, importance, ...(importanceReason !== undefined && { importanceReason }) };
}

/** Finds what is wrong with data, sizes and kinds before any work, and what a run will take. */
async function examine(
  { train, targets }: CompareRequest,
  hooks: DataHooks | undefined,
): Promise<{ targets: readonly string[]; bytes: number }> {
  requireOptions('compare: train', train, trainSettingsKinds, ['arch', 'dataset', 'recipe']);
  const dataset = await openData(train, hooks);
  const model = createModel(train.arch, modelOptionsFor(train.arch, train.model, dataset));
  try {
    const all = new Set(model.pruningGroups().map(({ kind }) => kind));
    const kinds = targets === 'all' ? [...all] : (targets ?? defaultKinds(model));
    groupsOfKinds(model, kinds);
    const { batchSize = 128 } = train.recipe;
    return { targets: kinds, bytes: trainingBytes(model, batchSize, bytesOf(dataset)) };
  } finally {
    model.dispose();
  }
}

/** What stays in memory; images of folders are read when they are needed. */
function bytesOf({ info, train, test }: Dataset): number {
  if (!(train instanceof MemorySplit)) return 0;
  return (train.length + test.length) * info.channels * info.height * info.width;
}

function divide(
  jobs: number | undefined,
  threads: number | undefined,
  bytes: number,
  runs: number,
  device: string,
): Division {
  const machine = thisMachine();
  if (jobs === undefined && device !== 'cpu') {
    return { jobs: 1, threads: threads ?? machine.cores, reason: 'one GPU' };
  }
  const found = divideMachine(machine, bytes, runs);
  const chosen = jobs ?? found.jobs;
  return {
    jobs: chosen,
    threads: threads ?? Math.max(1, Math.floor(machine.cores / chosen)),
    reason: jobs === undefined ? found.reason : 'as asked for',
  };
}

/** Of a run that is done. */
function accuracyOf(path: string): number | null {
  const last = RunFolder.open(path)
    .readMetrics()
    .findLast(({ type }) => type === 'epoch');
  if (last?.type !== 'epoch') return null;
  return last.emaAccuracy ?? last.valAccuracy;
}

class EpochSum {
  readonly #epochs: Map<string, number>;
  readonly #total: number;

  readonly #listener: CompareHooks['onProgress'];

  constructor(
    runs: readonly CompareRun[],
    done: readonly CompareRun[],
    listener: CompareHooks['onProgress'],
  ) {
    this.#listener = listener;
    this.#epochs = new Map(done.map(({ name, epochs }) => [name, epochs]));
    this.#total = runs.reduce((sum, { epochs }) => sum + epochs, 0);
  }

  set(name: string, epochs: number): void {
    this.#epochs.set(name, epochs);
    const done = [...this.#epochs.values()].reduce((sum, value) => sum + value, 0);
    this.#listener?.(done, this.#total);
  }
}
