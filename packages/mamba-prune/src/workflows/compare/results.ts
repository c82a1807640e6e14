// What a comparison shows, from the records of its runs.
import { join } from 'node:path';
import { type PruningRecord, readPruningRecord } from '../prune/record.js';
import { type CompareMethod, compareMethods } from './methods.js';
import type { CompareRun, CompareSettings, MethodRun, ScratchRun } from './settings.js';
import { scratchSettings } from './scratch.js';
import { trainedAccuracy } from './states.js';
import { type PairedTest, holm, mean, pairedTest, sampleDeviation } from './statistics.js';
import { RunFolder } from '../../training/run-folder.js';

/** One seed under one method. Accuracies are shares of 1. */
export interface RunResult {
  readonly seed: number;
  readonly method: CompareMethod;
  readonly rate: number;
  /** Path in the comparison's folder. */
  readonly run: string;
  /** After all training. */
  readonly accuracy: number;
  /** Just before the cut: for RSST after its regularised training. Null for scratch, where nothing is cut. */
  readonly beforeCut: number | null;
  readonly afterCut: number | null;
  readonly parameters: number;
  /** Of one image. */
  readonly macs: number;
}

/** All seeds under one method at one rate; means, unless said otherwise. */
export interface MethodResult {
  readonly method: CompareMethod;
  readonly rate: number;
  readonly seeds: readonly number[];
  readonly accuracy: number;
  /** Sample standard deviation over the seeds; null for one seed. */
  readonly deviation: number | null;
  /** Null for scratch, where nothing is cut. */
  readonly beforeCut: number | null;
  readonly afterCut: number | null;
  readonly parameters: number;
  readonly macs: number;
}

/** Two methods at one rate, paired by seed; `difference` is the first's accuracy less the second's. */
export interface MethodTest extends PairedTest {
  readonly rate: number;
  readonly methods: readonly [CompareMethod, CompareMethod];
  /** The p after Holm's correction over the rates at which the same two are tested; p itself at a single rate. */
  readonly pHolm: number | null;
}

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
  const rates = [0, ...settings.rates];
  const methods = rates.flatMap((rate) =>
    compareMethods.flatMap((method) => methodResult(method, rate, runs)),
  );
  const tests = (pairs: readonly MethodTest['methods'][]): MethodTest[] => {
    const all = pairs.flatMap((pair) => testsOf(pair, settings.rates, runs));
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
    methods,
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
  const round = record.rounds.at(-1);
  if (round?.finished !== true) return [];
  const { before, afterCut, after } = round.accuracy;
  if (before === null || afterCut === null || after === null) return [];
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

function methodResult(
  method: CompareMethod,
  rate: number,
  all: readonly RunResult[],
): MethodResult[] {
  const runs = all.filter((run) => run.method === method && run.rate === rate);
  if (runs.length === 0) return [];
  const meanOf = (value: (run: RunResult) => number): number => mean(runs.map(value));
  const meanIfCut = (value: (run: RunResult) => number | null): number | null => {
    const values = runs.flatMap((run) => value(run) ?? []);
    return values.length === 0 ? null : mean(values);
  };
  const deviation = sampleDeviation(runs.map(({ accuracy }) => accuracy));
  return [
    {
      method,
      rate,
      seeds: runs.map(({ seed }) => seed),
      accuracy: meanOf((run) => run.accuracy),
      deviation: Number.isNaN(deviation) ? null : deviation,
      beforeCut: meanIfCut((run) => run.beforeCut),
      afterCut: meanIfCut((run) => run.afterCut),
      parameters: meanOf((run) => run.parameters),
      macs: meanOf((run) => run.macs),
    },
  ];
}

/** Of two methods at every rate, corrected for there being several. */
function testsOf(
  methods: MethodTest['methods'],
  rates: readonly number[],
  runs: readonly RunResult[],
): MethodTest[] {
  const found = rates.flatMap((rate) => testOf(methods, rate, runs));
  const corrected = holm(found.map(({ p }) => p));
  return found.map((test, i) => ({ ...test, pHolm: corrected[i] ?? null }));
}

function testOf(
  methods: MethodTest['methods'],
  rate: number,
  runs: readonly RunResult[],
): Omit<MethodTest, 'pHolm'>[] {
  const accuracies = (method: CompareMethod): Map<number, number> =>
    new Map(
      runs
        .filter((run) => run.method === method && run.rate === rate)
        .map(({ seed, accuracy }) => [seed, accuracy]),
    );
  const [a, b] = [accuracies(methods[0]), accuracies(methods[1])];
  const seeds = [...a.keys()].filter((seed) => b.has(seed));
  if (seeds.length === 0) return [];
  const of = (values: Map<number, number>): number[] =>
    seeds.map((seed) => values.get(seed) as number);
  return [{ rate, methods, ...pairedTest(of(a), of(b)) }];
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
