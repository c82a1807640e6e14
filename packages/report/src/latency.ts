// Times the models of several runs against each other.
import { cpus } from 'node:os';
import { join } from 'node:path';
import { getNumThreads } from '@mamba-prune/libtorch';
import { benchmarkModels } from 'mamba-prune';
import type { NoteHandler } from 'mamba-prune/data';
import { releasing } from 'mamba-prune/internal';
import { benchModel } from 'mamba-prune/workflows';
import { loadOrNote } from './load-or-note.js';
import type { LatencyData } from './page-data/latency.js';
import type { RunData } from './page-data/run.js';

export interface TimeRunsOptions {
  readonly batches: readonly number[];
  /** Or what chooses it, once there is a model to run. */
  readonly device: string | (() => string);
  readonly signal?: AbortSignal | undefined;
  /** Told of models that cannot be read. */
  readonly onNote?: NoteHandler | undefined;
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

/** @returns undefined if no run has a model yet */
export async function timeRuns(
  runs: readonly RunData[],
  { batches, device: wanted, signal, onProgress, onNote }: TimeRunsOptions,
): Promise<LatencyData | undefined> {
  const finished = runs.filter(({ size }) => size?.bytes != null);
  if (finished.length === 0) return undefined;
  const device = typeof wanted === 'string' ? wanted : wanted();
  return releasing(async (keep) => {
    const models = finished.flatMap(({ id, path }) => {
      const model = loadOrNote(join(path, 'model.safetensors'), onNote);
      return model ? [benchModel(id, keep(model).to(device))] : [];
    });
    const [first] = models;
    if (!first) return undefined;
    const results = await benchmarkModels(models, {
      batches,
      device,
      signal,
      inputShape: first.inputShape,
      ...(onProgress && { onProgress }),
    });
    return {
      device,
      machine: cpus()[0]?.model ?? '',
      threads: getNumThreads(),
      results: results.map(({ model: run, batch, medianMs, p10Ms, p90Ms }) => ({
        run,
        batch,
        medianMs,
        p10Ms,
        p90Ms,
      })),
    };
  });
}
