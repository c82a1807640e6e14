// Times the models of several runs against each other.
import { existsSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { getNumThreads } from '@mamba-prune/libtorch';
import { benchModel, benchmarkModels, loadModel } from 'mamba-prune';
import type { LatencyData, RunData } from './data/types.js';

export interface TimeRunsOptions {
  readonly batches: readonly number[];
  /** Or what chooses it, once there is a model to run. */
  readonly device: string | (() => string);
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

/** @returns undefined if no run has a model yet */
export async function timeRuns(
  runs: readonly RunData[],
  { batches, device: wanted, signal, onProgress }: TimeRunsOptions,
): Promise<LatencyData | undefined> {
  const files = runs
    .map(({ id, path }) => ({ id, file: join(path, 'model.safetensors') }))
    .filter(({ file }) => existsSync(file));
  if (files.length === 0) return undefined;
  const device = typeof wanted === 'string' ? wanted : wanted();
  const models = files.map(({ id, file }) => {
    const { model } = loadModel(file);
    model.to(device);
    return { ...benchModel(id, model), model };
  });
  const [first] = models;
  if (!first) return undefined;
  try {
    const results = await benchmarkModels(models, {
      ...{ batches, device, signal, inputShape: first.inputShape },
      ...(onProgress && { onProgress }),
    });
    return {
      device,
      machine: cpus()[0]?.model ?? '',
      threads: getNumThreads(),
      results: results.map(({ model: run, batch, medianMs, p10Ms, p90Ms }) => ({
        ...{ run, batch, medianMs, p10Ms, p90Ms },
      })),
    };
  } finally {
    for (const { model } of models) model.dispose();
  }
}
