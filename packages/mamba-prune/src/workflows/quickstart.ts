// The tour: train a small vision Mamba, remove 70% of it, fine-tune, and measure what it gained.
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { benchModel } from '../bench/bench-model.js';
import { type BenchResult, benchmarkModels } from '../bench/bench.js';
import { loadModel } from '../models/model-file.js';
import { type OptionKinds, requireOptions } from '../option-checks.js';
import { releasing } from '../releasing.js';
import type { TrainHooks } from '../training/hooks.js';
import { RunFolder } from '../training/run-folder.js';
import { withEarlierNames } from './earlier-names.js';
import { decideImportance, keepImportance } from './prune/importance-choice.js';
import type { PruningRecord } from './prune/record.js';
import { pruneRun } from './prune/run.js';
import { type PruneSettings } from './prune/settings.js';
import { digestOf } from './prune/source.js';
import { type RunState, carryOn, runState } from './run-state.js';
import { type RunControl, type TrainSettings, storedSettings } from './settings.js';
import { trainRun } from './train-run.js';

export interface QuickstartPreset {
  /** What it takes on two slow cores, for the announcement. */
  readonly expectedMinutes: number;
  readonly train: TrainSettings;
  /** Share to remove of the SSM channels and of the MLP neurons. */
  readonly rate: number;
  readonly finetune: TrainSettings['recipe'];
  readonly bench: {
    readonly batches: readonly number[];
    readonly rounds: number;
    readonly minRoundMs: number;
  };
}

/** No augmentation: one or two passes over so many images leave nothing to overfit. */
const quickRecipe = {
  maxTrainImages: 40_000,
  batchSize: 64,
  weightDecay: 0.05,
  labelSmoothing: 0.05,
  clipGradNorm: 1,
  augment: 'none',
} as const;

/**
 * Purpose: a dense and a pruned model worth comparing, from nothing, in under 3 minutes on 2 cores.
 * Fixed work, so that the same machine gives the same models.
 */
export const quickstartPreset: QuickstartPreset = {
  expectedMinutes: 2,
  train: {
    arch: 'mamba_quick',
    dataset: 'fashion-mnist',
    model: {},
    recipe: { ...quickRecipe, epochs: 2, lr: 2e-3, warmupEpochs: 0.2, seed: 0 },
  },
  rate: 0.7,
  finetune: { ...quickRecipe, epochs: 1, lr: 1e-3, warmupEpochs: 0.1, seed: 0 },
  bench: { batches: [1, 64], rounds: 15, minRoundMs: 60 },
};

export interface QuickstartModel {
  readonly name: 'dense' | 'pruned';
  readonly run: string;
  readonly accuracy: number | null;
  readonly parameters: number;
  readonly macs: number;
  readonly fileBytes: number;
}

export interface QuickstartReport {
  readonly models: readonly [QuickstartModel, QuickstartModel];
  readonly pruning: PruningRecord;
  readonly bench: readonly BenchResult[];
  readonly seconds: number;
}

export interface QuickstartHooks {
  /** Before each of the three steps, with what stands there of an earlier run. */
  readonly onStep?: ((step: 'train' | 'prune' | 'bench', state: RunState) => void) | undefined;
  readonly train?: Omit<TrainHooks, 'saveModel'> | undefined;
  readonly finetune?: Omit<TrainHooks, 'saveModel'> | undefined;
  readonly onEvaluate?: ((what: string, done: number, total: number) => void) | undefined;
  readonly onBench?: ((done: number, total: number) => void) | undefined;
}

export interface QuickstartControl extends Pick<
  RunControl,
  'out' | 'device' | 'signal' | 'args' | 'data'
> {
  /** Do everything again. */
  readonly fresh?: boolean | undefined;
}

const quickstartKinds: OptionKinds<QuickstartControl> = {
  out: 'string',
  device: 'string',
  signal: 'object',
  args: 'array',
  data: 'object',
  fresh: 'boolean',
};

/**
 * Trains into `out`/dense, prunes into `out`/pruned, measures both. Touches nothing else in `out`,
 * and replaces there only runs of its own.
 *
 * @returns undefined if the signal stopped it; a second call goes on
 * @throws what trainRun and pruneRun throw
 */
export async function quickstart(
  control: QuickstartControl,
  preset: QuickstartPreset = quickstartPreset,
  hooks: QuickstartHooks = {},
): Promise<QuickstartReport | undefined> {
  const started = performance.now();
  requireOptions('quickstart', control, quickstartKinds, ['out']);
  const { fresh = false, device = 'cpu', signal, args, data } = control;
  const shared = { device, signal, args, data };
  const dense = join(control.out, 'dense');
  const pruned = join(control.out, 'pruned');

  const earlier = withEarlierNames(preset.train);
  // A run of an earlier version is the same one under another name.
  const isEarlier = !fresh && ['finished', 'unfinished'].includes(runState(dense, earlier));
  const settingsOfDense = isEarlier ? earlier : preset.train;
  const state = runState(dense, settingsOfDense, fresh);
  hooks.onStep?.('train', state);
  const trained = await trainRun(settingsOfDense, {
    ...shared,
    ...carryOn(dense, state),
    hooks: hooks.train,
  });
  const { result, model: denseModel } = trained;
  denseModel.dispose();
  if (!result.finished) return undefined;

  // What was pruned from an earlier dense model says nothing of this one.
  const denseFile = join(dense, 'model.safetensors');
  const anew = fresh || state === 'new' || state === 'replaced' || isOfAnother(pruned, denseFile);
  const settings = withImportance(pruneSettings(denseFile, preset), anew ? undefined : pruned);
  const prunedState = runState(pruned, settings, anew);
  hooks.onStep?.('prune', prunedState);
  const cut = await pruneRun(
    settings,
    { ...shared, ...carryOn(pruned, prunedState), hooks: hooks.finetune },
    { onEvaluate: hooks.onEvaluate },
  );
  cut.model.dispose();
  if (!cut.finished) return undefined;

  hooks.onStep?.('bench', 'new');
  const bench = await measure([dense, pruned], control, preset, hooks).catch((error: unknown) => {
    if (error === signal?.reason) return undefined;
    throw error;
  });
  if (!bench) return undefined;
  const { parameters, macs, accuracy } = cut.record;
  return {
    models: [
      {
        name: 'dense',
        run: dense,
        accuracy: result.valAccuracy,
        parameters: parameters.before,
        macs: macs.before,
        fileBytes: fileSize(dense),
      },
      {
        name: 'pruned',
        run: pruned,
        accuracy: accuracy.after,
        parameters: parameters.after,
        macs: macs.after,
        fileBytes: fileSize(pruned),
      },
    ],
    pruning: cut.record,
    bench,
    seconds: (performance.now() - started) / 1000,
  };
}

/** Whether a pruning began with another model than the one in a file. */
function isOfAnother(pruned: string, model: string): boolean {
  if (!RunFolder.isRun(pruned)) return false;
  const { sha256 } = (RunFolder.open(pruned).config['source'] ?? {}) as {
    readonly sha256?: string;
  };
  return sha256 !== undefined && sha256 !== digestOf(model);
}

function pruneSettings(model: string, preset: QuickstartPreset): PruneSettings {
  const { train, rate, finetune } = preset;
  return {
    model,
    method: 'oneshot',
    rates: { ssm: rate, mlp: rate },
    ranking: 'global',
    normalize: 'mean',
    roundTo: 1,
    maxRate: 1,
    dataset: train.dataset,
    recipe: finetune,
  };
}

/** @param begun - folder of a run that may be gone on with, or used as it is */
function withImportance(settings: PruneSettings, begun: string | undefined): PruneSettings {
  const isPruning =
    begun !== undefined &&
    RunFolder.isRun(begun) &&
    RunFolder.open(begun).config.command === 'prune';
  return decideImportance(
    isPruning ? keepImportance(settings, storedSettings(begun, 'prune')) : settings,
  );
}

async function measure(
  runs: readonly string[],
  { device = 'cpu', signal }: QuickstartControl,
  { bench, train }: QuickstartPreset,
  hooks: QuickstartHooks,
): Promise<BenchResult[]> {
  const { batches, rounds, minRoundMs } = bench;
  return releasing((keep) => {
    const models = runs.map((run, index) => {
      const model = keep(loadModel(join(run, 'model.safetensors')).model);
      return benchModel(index === 0 ? 'dense' : 'pruned', model.to(device));
    });
    return benchmarkModels(models, {
      inputShape: models[0]?.inputShape ?? [],
      batches,
      rounds,
      minRoundMs,
      device,
      precision: train.recipe.precision ?? 'auto',
      signal,
      ...(hooks.onBench && { onProgress: hooks.onBench }),
    });
  });
}

const fileSize = (run: string): number => statSync(join(run, 'model.safetensors')).size;
