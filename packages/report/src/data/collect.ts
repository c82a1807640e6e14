// Everything that a page shows, from the folders that were found.
import { join } from 'node:path';
import { readFileSync } from 'node:fs';
import { type FoundRuns, idOf } from './find-runs.js';
import { readComparison } from './read-comparison.js';
import { type ReadRun, readRun } from './read-run.js';
import type { ReportData, RunData } from './types.js';

/** @throws RunFolderError, DataError naming the file that is damaged */
export function collect({ root, comparisonRoot, runs, comparisons }: FoundRuns): ReportData {
  return {
    kind: 'mamba-prune report',
    format: 1,
    version: packageVersion(),
    created: new Date().toISOString(),
    folder: root,
    runs: linked(runs.map((path) => readRun(path, idOf(path, root)))),
    comparisons: comparisons.map((path) => readComparison(path, idOf(path, comparisonRoot))),
    notes: [],
  };
}

/** Runs with the id of what they pruned, those that others build on first. */
export function linked(read: readonly ReadRun[]): RunData[] {
  const byModel = new Map(read.map(({ data }) => [join(data.path, 'model.safetensors'), data.id]));
  return read.map(({ data, sourcePath }) => ({
    ...data,
    source: sourcePath === undefined ? undefined : byModel.get(sourcePath),
  }));
}

export function packageVersion(): string {
  // Two folders up both from src/data and from dist/data.
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
