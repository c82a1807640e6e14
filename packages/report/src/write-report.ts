// `mamba-prune report`: reads, measures what was asked for, writes the page.
import { mkdirSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { writeFileAtomic } from '@mamba-prune/libtorch';
import { type ReportHooks, type ReportOptions, type ReportResult, RunFolder } from 'mamba-prune';
import { collect } from './data/collect.js';
import { findRuns } from './data/find-runs.js';
import type { EvaluationData, RunData } from './data/types.js';
import { evaluateRuns, isAboutData } from './images/evaluate-runs.js';
import { timeRuns } from './latency.js';
import { type EmbeddedModel, reportHtml } from './report-html.js';
import { canTry, onnxOf, tryOutModel } from './try-out/models.js';

/**
 * Writes one HTML file that shows the runs and needs nothing else.
 * @throws UsageError if there is no run, or the images that were asked for do not fit;
 *   RunFolderError, DataError for damaged files; the signal's reason if it was stopped
 */
export async function writeReport(
  options: ReportOptions,
  hooks: ReportHooks = {},
): Promise<ReportResult> {
  const { device, signal, benchBatches } = options;
  const found = findRuns(options.paths);
  const collected = collect(found);
  const notes: string[] = [];
  const evaluation = await evaluated(collected.runs, options, hooks, notes);
  const latency =
    benchBatches &&
    (await timeRuns(collected.runs, {
      batches: benchBatches,
      ...{ device, signal },
      onProgress: (done, total) => hooks.onProgress?.('bench', done, total),
    }));
  const data = { ...collected, evaluation, latency, notes: [...collected.notes, ...notes] };
  const models = options.withModels ? await modelsOf(data.runs, options) : [];
  const path = resolve(options.out ?? defaultPath(options.paths));
  mkdirSync(dirname(path), { recursive: true });
  writeFileAtomic(path, reportHtml(data, models));
  return {
    path,
    bytes: statSync(path).size,
    runs: data.runs.map(({ id }) => id),
    comparisons: data.comparisons.map(({ id }) => id),
    notes: data.notes,
  };
}

async function modelsOf(
  runs: readonly RunData[],
  { data, signal }: ReportOptions,
): Promise<EmbeddedModel[]> {
  const models: EmbeddedModel[] = [];
  for (const run of runs.filter(canTry)) {
    signal?.throwIfAborted();
    models.push({ model: await tryOutModel(run, data), file: onnxOf(run) });
  }
  return models;
}

/** Where the reader looks first: beside the runs. */
function defaultPath(paths: readonly string[]): string {
  const [first, ...others] = paths;
  if (first === undefined || others.length > 0) return 'report.html';
  return join(first, RunFolder.isRun(first) ? 'report/report.html' : 'report.html');
}

async function evaluated(
  runs: readonly RunData[],
  { images, dataset, data, device, signal }: ReportOptions,
  { onProgress, onNote }: ReportHooks,
  notes: string[],
): Promise<EvaluationData | undefined> {
  if (images === 0) return undefined;
  const note = (text: string): void => {
    notes.push(text);
    onNote?.(text);
  };
  try {
    return await evaluateRuns(runs, {
      ...{ images, dataset, data, device, signal },
      onProgress: (done, total) => onProgress?.('images', done, total),
      // What a data set says of itself stands in the runs already.
      onNote: (text) => onNote?.(text),
    });
  } catch (error) {
    // Runs are often looked at on another machine than the one with the images.
    const isExplicit = dataset !== undefined || data !== undefined;
    if (isExplicit || signal?.aborted === true || !isAboutData(error)) throw error;
    note(`Images were left out: ${error.message}`);
    return undefined;
  }
}
