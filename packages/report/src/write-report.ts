// `mamba-prune report`: reads, measures what was asked for, writes the page.
import { statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { writeFileAtomic } from '@mamba-prune/libtorch/files';
import { RunFolder } from 'mamba-prune';
import {
  type ReportHooks,
  type ReportOptions,
  type ReportResult,
  makeFolder,
} from 'mamba-prune/internal';
import { collect } from './data/collect.js';
import { findRuns } from './data/find-runs.js';
import { evaluateRuns, isAboutData } from './images/evaluate-runs.js';
import { timeRuns } from './latency.js';
import { isAboutFile } from './load-or-note.js';
import type { EvaluationData } from './page-data/evaluation.js';
import type { RunData } from './page-data/run.js';
import { checkWritable } from './report-file.js';
import { type EmbeddedModel, reportHtml } from './report-html.js';
import { type ResolvedReportOptions, resolveReportOptions } from './report-options.js';
import { canTry, onnxOf, tryOutModel } from './try-out/models.js';

/**
 * Writes one HTML file that shows the runs and needs nothing else.
 * @throws UsageError for options that are unknown, of another kind or out of range, if there is no run, the file cannot be written or is
 *   there and no report, or the images that were asked for do not fit; RunFolderError, DataError for damaged files; the signal's reason if
 *   it was stopped
 */
export async function writeReport(
  given: ReportOptions,
  hooks: ReportHooks = {},
): Promise<ReportResult> {
  const options = resolveReportOptions(given, hooks);
  const { device, signal, benchBatches } = options;
  const path = resolve(options.out ?? defaultPath(options.paths));
  const found = findRuns(options.paths);
  checkWritable(path);
  const collected = collect(found);
  for (const note of collected.notes) hooks.onNote?.(note);
  const notes: string[] = [];
  const note = (text: string): void => {
    if (notes.includes(text)) return;
    notes.push(text);
    hooks.onNote?.(text);
  };
  const evaluation = await evaluated(collected.runs, options, hooks, note);
  const latency =
    benchBatches &&
    (await timeRuns(collected.runs, {
      batches: benchBatches,
      device,
      signal,
      onNote: note,
      onProgress: (done, total) => hooks.onProgress?.('bench', done, total),
    }));
  const models = options.withModels ? await modelsOf(collected.runs, options, note) : [];
  const data = { ...collected, evaluation, latency, notes: [...collected.notes, ...notes] };
  makeFolder(dirname(path));
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
  { dataset, data, signal }: ResolvedReportOptions,
  note: (text: string) => void,
): Promise<EmbeddedModel[]> {
  const models: EmbeddedModel[] = [];
  for (const run of runs.filter(canTry)) {
    signal?.throwIfAborted();
    try {
      models.push({ model: await tryOutModel(run, { dataset, data }), file: onnxOf(run) });
    } catch (error) {
      if (!isAboutFile(error)) throw error;
      note(`A model was left out: ${error.message}`);
    }
  }
  return models;
}

/** Where the reader looks first: beside the runs. */
function defaultPath(paths: readonly string[]): string {
  const [first, ...others] = paths;
  if (first === undefined || others.length > 0) return 'report.html';
  if (statSync(first, { throwIfNoEntry: false })?.isFile() === true) return 'report.html';
  return join(first, RunFolder.isRun(first) ? 'report/report.html' : 'report.html');
}

async function evaluated(
  runs: readonly RunData[],
  { images, dataset, data, device, signal }: ResolvedReportOptions,
  { onProgress, onNote }: ReportHooks,
  note: (text: string) => void,
): Promise<EvaluationData | undefined> {
  if (images === 0) return undefined;
  try {
    return await evaluateRuns(runs, {
      images,
      dataset,
      data,
      device,
      signal,
      onProgress: (done, total) => onProgress?.('images', done, total),
      // What a data set says of itself stands in the runs already.
      onNote: (text) => onNote?.(text),
      onLeftOut: note,
    });
  } catch (error) {
    // Runs are often looked at on another machine than the one with the images.
    const isExplicit = dataset !== undefined || data !== undefined;
    if (isExplicit || signal?.aborted === true || !isAboutData(error)) throw error;
    note(`Images were left out: ${error.message}`);
    return undefined;
  }
}
