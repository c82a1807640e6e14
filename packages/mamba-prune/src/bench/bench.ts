// Latency of several models, measured so that they can be compared on a machine that is not quiet:
// the models take turns in one process, round by round, and each round gives one ratio. What slows
// the machine for a while slows all models of that round alike, and the ratio hardly moves.
import { setImmediate as turn } from 'node:timers/promises';
import { type Tensor, Generator, noGrad, randn, scope, synchronize } from '@mamba-prune/libtorch';
import { UsageError } from '../errors.js';
import { type Spread, median, quantile, sortedNumbers, spreadOf } from './statistics.js';

/** Something that can be timed. */
export interface BenchModel {
  readonly name: string;
  /** @param images - shape [batch, ...inputShape] */
  forward(images: Tensor): Tensor;
  /** Shape of one input, if not that of the options. */
  readonly inputShape?: readonly number[] | undefined;
  /** Put into evaluation mode while it is timed; left as it was. */
  readonly module?: Switchable | undefined;
}

/** What `nn.Module` has. */
interface Switchable {
  readonly training: boolean;
  train(on?: boolean): unknown;
}

export interface BenchOptions {
  /** Batch sizes; 1 and 64 unless given. */
  readonly batches?: readonly number[];
  /** Shape of one input: [channels, height, width]. */
  readonly inputShape: readonly number[];
  /** Calls of each model before the first round; 3 unless given. */
  readonly warmup?: number;
  /** Rounds; each model runs once per round. 15 unless given. */
  readonly rounds?: number;
  /** A model's turn in a round repeats the call until this time is over, in ms; 50 unless given. */
  readonly minRoundMs?: number;
  /** `cpu` unless given; the models must be there. */
  readonly device?: string;
  /** Of the random input; 0 unless given. */
  readonly seed?: number;
  /** Stops between two rounds: its reason is thrown. */
  readonly signal?: AbortSignal | undefined;
  /** Called after each round of each batch size. */
  readonly onProgress?: (done: number, total: number) => void;
}

export interface BenchResult {
  readonly model: string;
  readonly batch: number;
  /** Of one call, over all calls of all rounds. */
  readonly medianMs: number;
  readonly p10Ms: number;
  readonly p90Ms: number;
  /** batch / median. */
  readonly imagesPerSecond: number;
  /** Calls that were timed. */
  readonly calls: number;
  /** How many times faster than the first model, over the rounds; the first has 1 everywhere. */
  readonly speedup: Spread;
}

/**
 * Times the models against each other, without gradients and in evaluation mode. The device is
 * synchronised before and after each call, so a latency is that of the whole call. The order within
 * a round is reversed every other round.
 *
 * @returns one result per batch size and model, batch sizes outermost
 * @throws UsageError for an empty list or counts that are no positive integers
 */
export async function benchmarkModels(
  models: readonly BenchModel[],
  options: BenchOptions,
): Promise<BenchResult[]> {
  const { batches = [1, 64], rounds = 15, warmup = 3, onProgress } = options;
  if (models.length === 0) throw new UsageError('bench: got no model, expected at least one.');
  for (const batch of batches) checkCount('batch', batch, 1);
  checkCount('rounds', rounds, 1);
  checkCount('warmup', warmup, 0);
  const modes = models.map(({ module }) => module?.training);
  for (const { module } of models) module?.train(false);
  try {
    const results: BenchResult[] = [];
    for (const [index, batch] of batches.entries()) {
      const laps = await measure(models, batch, options, (round) =>
        onProgress?.(index * rounds + round, batches.length * rounds),
      );
      results.push(...summarise(models, batch, laps));
    }
    return results;
  } finally {
    models.forEach(({ module }, index) => module?.train(modes[index]));
  }
}

function checkCount(name: string, value: number, least: number): void {
  if (Number.isInteger(value) && value >= least) return;
  throw new UsageError(`bench: ${name}: got ${value}, expected an integer from ${least}.`);
}

/** Per model and round: the times of the calls in ms. */
type Laps = number[][][];

async function measure(
  models: readonly BenchModel[],
  batch: number,
  options: BenchOptions,
  onRound: (done: number) => void,
): Promise<Laps> {
  const { rounds = 15, warmup = 3, minRoundMs = 50, device = 'cpu', seed = 0 } = options;
  const inputs = models.map(({ inputShape = options.inputShape }) =>
    scope(() =>
      randn([batch, ...inputShape], { generator: new Generator(seed) })
        .to(device)
        .keep(),
    ),
  );
  const laps: Laps = models.map(() => []);
  const call = (index: number): number => {
    const { [index]: model } = models;
    const { [index]: input } = inputs;
    synchronize(device);
    const start = performance.now();
    scope(() => {
      noGrad(() => model?.forward(input as Tensor));
      synchronize(device);
    });
    return performance.now() - start;
  };
  try {
    const order = [...models.keys()];
    for (const index of order) for (let i = 0; i < warmup; i++) call(index);
    for (let round = 0; round < rounds; round++) {
      for (const index of round % 2 === 0 ? order : order.toReversed()) {
        const times: number[] = [];
        let spent = 0;
        do {
          const ms = call(index);
          times.push(ms);
          spent += ms;
        } while (spent < minRoundMs);
        laps[index]?.push(times);
      }
      onRound(round + 1);
      await turn(); // Ctrl-C and the progress bar get their chance
      options.signal?.throwIfAborted();
    }
  } finally {
    for (const input of inputs) input.dispose();
  }
  return laps;
}

function summarise(models: readonly BenchModel[], batch: number, laps: Laps): BenchResult[] {
  const perRound = laps.map((rounds) => rounds.map((times) => median(times)));
  return models.map(({ name }, index) => {
    const all = sortedNumbers(laps[index]?.flat() ?? []);
    const medianMs = quantile(all, 0.5);
    return {
      model: name,
      batch,
      medianMs,
      p10Ms: quantile(all, 0.1),
      p90Ms: quantile(all, 0.9),
      imagesPerSecond: (1000 * batch) / medianMs,
      calls: all.length,
      speedup: spreadOf(
        (perRound[0] ?? []).map((first, round) => first / (perRound[index]?.[round] ?? NaN)),
      ),
    };
  });
}
