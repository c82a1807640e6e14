// What a comparison shows, from the records of its runs.
import { join } from 'node:path';
import { type PruningRecord, isDone, readPruningRecord } from '../prune/record.js';
import { shortOfRates } from './held-back.js';
import {
  type MethodResult,
  type MethodTest,
  type RunResult,
  methodResults,
  methodTests,
} from './outcomes.js';
import type { CompareRun, CompareSettings, MethodRun, ScratchRun } from './settings.js';
import { scratchSettings } from './scratch.js';
import { trainedAccuracy } from './states.js';
import { RunFolder } from '../../training/run-folder.js';

export interface CompareResults {
  /** Runs of the methods that are done, and that there will be. */
  readonly done: number;
  readonly planned: number;
  readonly methods: readonly MethodResult[];
  /** Refill against RSST at every rate, over the seeds that both have. */
  readonly tests: readonly MethodTest[];
  /** Each of the two against one-shot pruning. */
  readonly baselineTests: readonly MethodTest[];
  /** Each pruning against training from scratch at the same size; there are some only where scratch is compared. */
  readonly scratchTests?: readonly MethodTest[];
  readonly runs: readonly RunResult[];
}

/**
 * @param folder - of the comparison
 * @throws DataError if the record of a run is damaged
 */
export function readResults(
  settings: CompareSettings,
  planned: readonly CompareRun[],
  folder: string,
): CompareResults {
  const methodRuns = planned.filter((run) => run.method !== undefined);
  const runs = methodRuns.flatMap((run) => {
    if (run.method === 'scratch') return scratchResult(run, folder);
    const record = readPruningRecord(join(folder, run.name));
    return record ? runResult(run, record) : [];
  });
  const tests = (pairs: readonly MethodTest['methods'][]): MethodTest[] => {
    const all = pairs.flatMap((pair) => methodTests(pair, settings.rates, runs));
    return settings.rates.flatMap((rate) => all.filter((test) => test.rate === rate));
  };
  const scratchTests = tests([
    ['oneshot', 'scratch'],
    ['refill', 'scratch'],
    ['rsst', 'scratch'],
  ]);
  return {
    done: runs.length,
    planned: methodRuns.length,
    methods: methodResults([0, ...settings.rates], runs),
    tests: tests([['refill', 'rsst']]),
    baselineTests: tests([
      ['refill', 'oneshot'],
      ['rsst', 'oneshot'],
    ]),
    ...(scratchTests.length > 0 && { scratchTests }),
    runs,
  };
}

function runResult(run: MethodRun, record: PruningRecord): RunResult[] {
  // The record's own `before` is of the model that all began with; a round's, of the one that was cut.
  const [first, last] = [record.rounds[0], record.rounds.at(-1)];
  if (!first || !last || !isDone(record)) return [];
  // RSST may cut several times within its training.
  const { before } = first.accuracy;
  const { afterCut, after } = last.accuracy;
  if (before === null || afterCut === null || after === null) return [];
  const shortOfRate = shortOfRates(record);
  return [
    {
      seed: run.seed,
      method: run.method,
      rate: run.rate,
      run: run.name,
      accuracy: after,
      beforeCut: before,
      afterCut,
      parameters: record.parameters.after,
      macs: record.macs.after,
      ...(shortOfRate.length > 0 && { shortOfRate }),
    },
  ];
}

/** Of a training whose metrics have reached its end; what its model costs is what that of its one-shot run does. */
function scratchResult(run: ScratchRun, folder: string): RunResult[] {
  const path = join(folder, run.name);
  const record = readPruningRecord(join(folder, run.after));
  if (!record || !scratchSettings(run, folder) || !RunFolder.isRun(path)) return [];
  const accuracy = trainedAccuracy(path, run.epochs);
  if (accuracy === undefined) return [];
  return [
    {
      seed: run.seed,
      method: run.method,
      rate: run.rate,
      run: run.name,
      accuracy,
      beforeCut: null,
      afterCut: null,
      parameters: record.parameters.after,
      macs: record.macs.after,
    },
  ];
}

/**
 * Largest difference in MACs between the methods of one rate, as a share: near 0, as units of one kind
 * cost the same in every block of a Mamba, but not so in every architecture.
 */
export function sizeSpread({ methods }: CompareResults): number {
  const rates = new Set(methods.map(({ rate }) => rate));
  return Math.max(
    0,
    ...Array.from(rates, (rate) => {
      const macs = methods.filter((result) => result.rate === rate).map((result) => result.macs);
      return Math.max(...macs) / Math.min(...macs) - 1;
    }),
  );
}
