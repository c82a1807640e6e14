// Everything that a page shows, from the folders that were found.
import { createHash } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { type FoundRuns, idOf } from './find-runs.js';
import { studioCommand } from './facts.js';
import { readComparison } from './read-comparison.js';
import { type ReadRun, type Source, readRun } from './read-run.js';
import type { ReportData, RunData } from './types.js';

/** @throws RunFolderError, DataError naming the file that is damaged */
export function collect(found: FoundRuns): ReportData {
  const { root, comparisonRoot, runs, comparisons, damaged } = found;
  return {
    kind: 'mamba-prune report',
    format: 1,
    version: packageVersion(),
    created: new Date().toISOString(),
    studio: studioCommand(root),
    runs: linked(runs.map((path) => readRun(path, idOf(path, root)))),
    comparisons: comparisons.map((path) => readComparison(path, idOf(path, comparisonRoot))),
    notes: damaged.map(
      (path) => `${path} was left out: its config.json is damaged, expected that of a run.`,
    ),
  };
}

/** Runs with the id of what they pruned. */
export function linked(read: readonly ReadRun[]): RunData[] {
  const byModel = new Map(read.map(({ data }) => [modelPath(data), data.id]));
  return read.map(({ data, source }) => ({
    ...data,
    source: source && (byModel.get(source.path) ?? movedTo(source, read)),
  }));
}

/** The run whose model is the same file in another place: runs are copied from machine to machine. */
function movedTo({ sha256, bytes }: Source, read: readonly ReadRun[]): string | undefined {
  if (sha256 === undefined) return undefined;
  return read
    .map(({ data }) => data)
    .filter(({ size }) => size?.bytes != null && (bytes ?? size.bytes) === size.bytes)
    .find((data) => digestOf(modelPath(data)) === sha256)?.id;
}

const modelPath = ({ path }: RunData): string => join(path, 'model.safetensors');

/** By path, size and time of change: the studio links its runs again with every change. */
const digests = new Map<string, string>();

function digestOf(path: string): string | undefined {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (!stat) return undefined;
  const key = `${path} ${stat.size} ${stat.mtimeMs}`;
  const digest = digests.get(key) ?? createHash('sha256').update(readFileSync(path)).digest('hex');
  digests.set(key, digest);
  return digest;
}

export function packageVersion(): string {
  // Two folders up both from src/data and from dist/data.
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
