// Times the models of several runs against each other.
import { existsSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { getNumThreads } from '@mamba-prune/libtorch';
import { benchModel, benchmarkModels, loadModel } from 'mamba-prune';
import type { LatencyData, RunData } from './data/types.js';

export interface TimeRunsOptions {
  readonly batches: readonly number[];
  readonly device: string;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

/** @returns undefined if no run has a model yet */
export async function timeRuns(
  runs: readonly RunData[],
  { batches, device, signal, onProgress }: TimeRunsOptions,
): Promise<LatencyData | undefined> {
  const models = runs
    .map(({ id, path }) => ({ id, file: join(path, 'model.safetensors') }))
    .filter(({ file }) => existsSync(file))
    .map(({ id, file }) => {
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
