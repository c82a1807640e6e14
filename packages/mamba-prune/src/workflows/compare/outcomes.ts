// What finished runs come to: the mean of every method at every rate, and whether two methods differ.
import type { ShortOfRate } from './held-back.js';
import { type CompareMethod, compareMethods } from './methods.js';
import { type PairedTest, holm, mean, pairedTest, sampleDeviation } from './statistics.js';

/** One seed under one method. Accuracies are shares of 1. */
export interface RunResult {
  readonly seed: number;
  readonly method: CompareMethod;
  readonly rate: number;
  /** Path in the comparison's folder. */
  readonly run: string;
  /** After all training. */
  readonly accuracy: number;
  /** Just before the first cut: for RSST after its regularised training. Null for scratch, where nothing is cut. */
  readonly beforeCut: number | null;
  /** Just after the last cut: RSST alone may have several. */
  readonly afterCut: number | null;
  readonly parameters: number;
  /** Of one image. */
  readonly macs: number;
  /** What kept more units than the rate asks for; left out where nothing did. */
  readonly shortOfRate?: readonly ShortOfRate[];
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

/** @returns rate by rate, the methods in the order of tables; none for what no run has */
export const methodResults = (
  rates: readonly number[],
  runs: readonly RunResult[],
): MethodResult[] =>
  rates.flatMap((rate) => compareMethods.flatMap((method) => methodResult(method, rate, runs)));

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

/**
 * Of two methods at every rate at which both have a seed in common.
 * @returns with p corrected for the number of these rates
 */
export function methodTests(
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
