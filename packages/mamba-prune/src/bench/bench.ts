// Latency of several models, measured so that they can be compared on a machine that is not quiet:
// the models take turns in one process, round by round, and each round gives one ratio. What slows
// the machine for a while slows all models of that round alike, and the ratio hardly moves.
import { setImmediate as turn } from 'node:timers/promises';
import { type GraphBackend, type Tensor, Generator, nn, randn, scope } from '@mamba-prune/libtorch';
import { defined } from '../defined.js';
import { UsageError } from '../errors.js';
import { explainingMemory } from '../memory.js';
import type { ImageModel } from '../models/image-model.js';
import { rememberModes } from '../models/modes.js';
import {
  type PreparedInference,
  inferencePrecisionOn,
  prepareInference,
} from '../models/inference-precision.js';
import { imageType, weightCopies } from '../models/precision.js';
import { checksOf, shown } from '../checks.js';
import { requireDevice } from '../device-check.js';
import { type OptionKinds, requireOptions } from '../option-checks.js';
import type { InferencePrecision } from '../precision.js';
import { type Spread, median, quantile, sortedNumbers, spreadOf } from '../statistics.js';
import { ForeignCall, type Timed, TimedCall } from './timed-call.js';

/** Something that can be timed: a model of ours, or one that another runtime computes. */
export type BenchCandidate = BenchModel | ForeignModel;

/** A model that another runtime computes, on the same machine with as many threads. */
export interface ForeignModel {
  readonly name: string;
  /** What computes it, such as `onnxruntime cpu`. */
  readonly runtime: string;
  /** Makes an input for `batch` images. @returns one call of the model */
  prepare(batch: number, seed: number): Promise<() => Promise<unknown>>;
}

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

/** What models have. */
export interface Switchable extends Pick<Partial<ImageModel>, 'packWeights' | 'multiplyIn'> {
  readonly training: boolean;
  train(on?: boolean): unknown;
  /** Those that 16-bit copies are kept of in bf16. */
  parameters?(): Tensor[];
}

function hasParameters<T extends Switchable>(
  module: T,
): module is T & Required<Pick<Switchable, 'parameters'>> {
  return module.parameters !== undefined;
}

export interface BenchOptions {
  /** Batch sizes. By default 1 and 64. */
  readonly batches?: readonly number[];
  /** Shape of one input, [channels, height, width], of models that do not say it themselves, as those of `benchModel` do. */
  readonly inputShape?: readonly number[] | undefined;
  /** Calls of each model before the first round, on a GPU at least one. Default `3`. */
  readonly warmup?: number;
  /** Rounds; each model runs once per round. Default `15`. */
  readonly rounds?: number;
  /** A model's turn in a round repeats the call until this time is over, in ms. Default `50`. */
  readonly minRoundMs?: number;
  /** The models must be there. Default `cpu`. */
  readonly device?: string;
  /** In what the models compute, as for `evaluateModel`. Default `fp32`. */
  readonly precision?: InferencePrecision | undefined;
  /** @internal As for `evaluateModel`. */
  readonly asInTraining?: boolean | undefined;
  /** @internal Captures in place of the addon: for tests, which have no GPU. */
  readonly graphBackend?: GraphBackend | undefined;
  /** Of the random input. Default `0`. */
  readonly seed?: number;
  /** Stops between two rounds: its reason is thrown. */
  readonly signal?: AbortSignal | undefined;
  /** Called after each round of each batch size. */
  readonly onProgress?: (done: number, total: number) => void;
}

const benchKinds: OptionKinds<BenchOptions> = {
  batches: 'array',
  inputShape: 'array',
  warmup: 'number',
  rounds: 'number',
  minRoundMs: 'number',
  device: 'string',
  precision: 'string',
  asInTraining: 'boolean',
  graphBackend: 'any',
  seed: 'number',
  signal: 'object',
  onProgress: 'function',
};

export interface BenchResult {
  readonly model: string;
  readonly batch: number;
  /** Of one call, over all calls of all rounds. */
  readonly medianMs: number;
  readonly p10Ms: number;
  readonly p90Ms: number;
  /** batch / median. */
  readonly imagesPerSecond: number;
  /** Times that were taken: of one call each, on a GPU the mean of a group of calls. */
  readonly calls: number;
  /** On a GPU: `replayed` if the pass was replayed as one CUDA graph, or else why not. */
  readonly graph?: string;
  /** How many times faster than the first model, over the rounds; the first has 1 everywhere. */
  readonly speedup: Spread;
}

/** What is done unless the options say otherwise. */
const defaults = {
  batches: [1, 64] as readonly number[],
  warmup: 3,
  rounds: 15,
  minRoundMs: 50,
  device: 'cpu',
  precision: 'fp32' as InferencePrecision,
  asInTraining: false,
  seed: 0,
};
type Settings = typeof defaults & Omit<BenchOptions, keyof typeof defaults>;

/** @throws UsageError for none, and for what cannot be timed or named in the results */
function checkCandidates(models: unknown, inputShape: unknown): void {
  if (!Array.isArray(models)) {
    throw new UsageError(`bench: got ${shown(models)}, expected an array of models.`);
  }
  if (models.length === 0) throw new UsageError('bench: got no model, expected at least one.');
  models.forEach((model: unknown, at) => {
    const {
      name,
      forward,
      prepare,
      inputShape: own,
    } = (model ?? {}) as Partial<BenchModel & ForeignModel>;
    if (model instanceof nn.Module || typeof name !== 'string') {
      throw new UsageError(
        `bench: got ${model instanceof nn.Module ? 'a model' : shown(model)} without a name at ${at}, expected what benchModel(name, model) gives.`,
      );
    }
    if (typeof prepare === 'function') return;
    if (typeof forward !== 'function') {
      throw new UsageError(
        `bench: ${name}: got ${shown(forward)} in place of the function \`forward\`, expected one. benchModel(name, model) has it.`,
      );
    }
    if (own === undefined && inputShape === undefined) {
      throw new UsageError(
        `bench: ${name}: got no shape of an input, expected \`inputShape\`, [channels, height, width], of the model or in the options.`,
      );
    }
  });
}

/**
 * Times the models against each other, without gradients and in evaluation mode. The device is
 * synchronised before and after each call, so a latency is that of the whole call; those of other
 * runtimes end when they have given their results. Short calls of a GPU
 * are timed in groups (`TimedCall`). The order within a round is reversed every other round.
 *
 * @returns one result per batch size and model, batch sizes outermost
 * @throws OutOfMemoryError if a batch does not fit; UsageError for an empty list or counts that are no positive integers
 */
export async function benchmarkModels(
  models: readonly BenchCandidate[],
  options: BenchOptions,
): Promise<BenchResult[]> {
  requireOptions('bench', options, benchKinds);
  const settings = { ...defaults, ...defined(options) };
  const { batches, rounds, warmup, onProgress } = settings;
  requireDevice('bench', options.device);
  checkCandidates(models, options.inputShape);
  const { integer, number } = checksOf('bench');
  for (const batch of batches) integer('batch', batch, { min: 1 });
  integer('rounds', rounds, { min: 1 });
  integer('warmup', warmup, { min: 0 });
  number('minRoundMs', settings.minRoundMs, { min: 0 });
  const modules = models.map((model) => ('forward' in model ? model.module : undefined));
  const restoreModes = modules.map((module) => module && modesOf(module));
  const prepared: ModelCompute[] = [];
  try {
    for (const model of models) prepared.push(computeOf(model, settings));
  } catch (error) {
    for (const { dispose } of prepared) dispose();
    throw error;
  }
  for (const module of modules) module?.train(false);
  try {
    const results: BenchResult[] = [];
    for (const [index, batch] of batches.entries()) {
      const measured = await measure(models, batch, settings, prepared, (round) =>
        onProgress?.(index * rounds + round, batches.length * rounds),
      );
      results.push(...summarise(models, batch, measured));
    }
    return results;
  } finally {
    for (const { dispose } of prepared) dispose();
    for (const restore of restoreModes) restore?.();
  }
}

/** How a model is given its images, and what was made for it. */
type ModelCompute = Pick<PreparedInference, 'images' | 'run' | 'dispose'>;

function computeOf(
  model: BenchCandidate,
  { device, precision: wanted, asInTraining }: Settings,
): ModelCompute {
  const precision = inferencePrecisionOn(device, wanted);
  const module = 'forward' in model ? model.module : undefined;
  const known = module && hasParameters(module) ? module : undefined;
  if (known && !(asInTraining && device === 'cpu')) {
    return prepareInference(known, device, precision, model.name);
  }
  // In int8 activations are float32; without a module nothing is known of its products.
  const images = precision === 'int8' ? 'fp32' : precision;
  const copies = known && weightCopies(known, images, { fixed: true });
  return { images: imageType(images), run: (task) => task(), dispose: () => copies?.dispose() };
}

/** @returns puts the module's modes back */
function modesOf(module: Switchable): () => void {
  if (module instanceof nn.Module) return rememberModes(module);
  const { training } = module;
  return () => {
    module.train(training);
  };
}

interface Measured {
  /** Per model and round: the times of the calls in ms. */
  readonly laps: number[][][];
  /** Per model: how it was given to the GPU. */
  readonly graphs: (string | undefined)[];
}

async function measure(
  models: readonly BenchCandidate[],
  batch: number,
  settings: Settings,
  prepared: readonly ModelCompute[],
  onRound: (done: number) => void,
): Promise<Measured> {
  const { rounds, warmup, minRoundMs, device, seed, signal } = settings;
  const advice = 'Give smaller `batches`, or see that nobody else uses the device.';
  const memory = () => ({ where: 'bench', batchSize: batch, device, advice });
  const inputs: Tensor[] = [];
  const calls: Timed[] = [];
  const laps: number[][][] = models.map(() => []);
  try {
    for (const [i, model] of models.entries()) {
      calls.push(await callOf(model, prepared[i] as ModelCompute));
    }
    for (const call of calls) {
      const warm = explainingMemory(memory, () => call.prepare(warmup));
      if (warm) await warm;
    }
    const order = [...models.keys()];
    for (let round = 0; round < rounds; round++) {
      for (const index of round % 2 === 0 ? order : order.toReversed()) {
        const call = calls[index] as Timed;
        const times: number[] = [];
        let spent = 0;
        do {
          const timed = explainingMemory(memory, () => call.time());
          const { each, all } = timed instanceof Promise ? await timed : timed;
          times.push(each);
          spent += all;
        } while (spent < minRoundMs);
        laps[index]?.push(times);
        await call.rest?.();
      }
      onRound(round + 1);
      await turn(); // Ctrl-C and the progress bar get their chance
      signal?.throwIfAborted();
    }
    return { laps, graphs: calls.map(({ graph }) => graph) };
  } finally {
    for (const call of calls) call.dispose();
    for (const input of inputs) input.dispose();
  }

  async function callOf(model: BenchCandidate, { images, run }: ModelCompute): Promise<Timed> {
    if (!('forward' in model)) return new ForeignCall(await model.prepare(batch, seed));
    const input = explainingMemory(memory, () =>
      inputOf(model.inputShape ?? settings.inputShape ?? [], images),
    );
    inputs.push(input);
    return new TimedCall(() => run(() => model.forward(input)), device, settings.graphBackend);
  }

  function inputOf(shape: readonly number[], type: ModelCompute['images']): Tensor {
    return scope(() =>
      randn([batch, ...shape], { generator: new Generator(seed) })
        .to(device)
        .to(type)
        .keep(),
    );
  }
}

function summarise(
  models: readonly BenchCandidate[],
  batch: number,
  { laps, graphs }: Measured,
): BenchResult[] {
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
      ...(graphs[index] !== undefined && { graph: graphs[index] }),
      speedup: spreadOf(
        (perRound[0] ?? []).map((first, round) => first / (perRound[index]?.[round] ?? NaN)),
      ),
    };
  });
}
