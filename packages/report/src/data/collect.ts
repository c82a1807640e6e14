// Everything that a page shows, from the folders that were found.
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { AddonError } from '@mamba-prune/libtorch';
import { digestFile } from '@mamba-prune/libtorch/files';
import { groupKinds } from 'mamba-prune/models';
import { readSensitivity } from 'mamba-prune/workflows';
import type { KindLabel, ReportData } from '../page-data/report.js';
import type { RunData } from '../page-data/run.js';
import { checkFound } from '../page-checks.js';
import { studioCommand } from './facts.js';
import { folderNames } from './folder-names.js';
import { type FoundRuns, idOf } from './find-runs.js';
import { readComparison } from './read-comparison.js';
import { type ReadRun, type Source, readRun } from './read-run.js';
import { sensitivityData } from './sensitivity.js';

/**
 * Everything that can be read. A damaged run or comparison is left out, and named in the notes.
 * @throws UsageError if it is not given what `findRuns` gives; RunFolderError, DataError, FormatError naming the file that is damaged
 *   if nothing is left
 */
export function collect(found: FoundRuns): ReportData {
  checkFound('collect', found);
  const { root, comparisonRoot, damaged } = found;
  const runs = readEach(found.runs, (path) => readRun(path, idOf(path, root)));
  const comparisons = readEach(found.comparisons, (path) =>
    readComparison(path, idOf(path, comparisonRoot)),
  );
  const sensitivities = readEach(found.sensitivities, (path) =>
    sensitivityData(readSensitivity(path), idOf(path, root)),
  );
  const failed = [...runs.failed, ...comparisons.failed, ...sensitivities.failed];
  const read = [runs, comparisons, sensitivities].flatMap((each): readonly unknown[] => each.read);
  const [first] = failed;
  if (first && read.length === 0) throw first.error;
  return {
    kind: 'mamba-prune report',
    format: 1,
    version: packageVersion(),
    created: new Date().toISOString(),
    studio: studioCommand(root),
    runs: linked(runs.read),
    comparisons: comparisons.read,
    ...(sensitivities.read.length > 0 && { sensitivities: sensitivities.read }),
    kinds: kindLabels(),
    notes: [
      ...damaged.map(damagedNote),
      ...failed.map(({ path, error }) => `${path} was left out: ${error.message}`),
      ...runs.read.flatMap(({ problems }) => problems),
    ],
  };
}

/** What the units of every kind are called. */
export const kindLabels = (): Record<string, KindLabel> =>
  Object.fromEntries(Array.from(groupKinds(), ([kind, { label }]) => [kind, label] as const));

/** Of a folder with a log whose config.json nobody can read. */
export const damagedNote = (path: string): string =>
  `${path} was left out: its config.json is damaged, expected that of a run.`;

interface ReadEach<T> {
  readonly read: readonly T[];
  readonly failed: readonly { readonly path: string; readonly error: Error }[];
}

/** One damaged folder must not hide the others. */
function readEach<T>(paths: readonly string[], read: (path: string) => T): ReadEach<T> {
  const results: T[] = [];
  const failed: { path: string; error: Error }[] = [];
  for (const path of paths) {
    try {
      results.push(read(path));
    } catch (error) {
      // That is of this program, not of the run.
      if (error instanceof AddonError) throw error;
      failed.push({ path, error: error instanceof Error ? error : new Error(String(error)) });
    }
  }
  return { read: results, failed };
}

/** Runs with the id of what they pruned, and with names for their data. */
export function linked(read: readonly ReadRun[]): RunData[] {
  const byModel = new Map(read.map(({ data }) => [modelPath(data), data.id]));
  const folders = folderNames(read.flatMap(({ images }) => images ?? []));
  const runs = read.map(({ data, source, images }): RunData => {
    const run = source && (stillThere(source, byModel) ?? movedTo(source, read));
    const folder = images && folders.get(images);
    return {
      ...data,
      dataset: data.dataset && { ...data.dataset, ...(folder !== undefined && { folder }) },
      source: data.pruning && run,
      began: data.began && { ...data.began, run },
    };
  });
  const byId = new Map(runs.map((run) => [run.id, run]));
  return runs.map((run) => ({ ...run, isDense: isDenseThrough(run, byId) }));
}

/** What goes on with the training of a pruned model is pruned, though it cuts nothing itself. */
function isDenseThrough(run: RunData, byId: ReadonlyMap<string, RunData>): boolean {
  const seen = new Set<string>();
  for (let at: RunData | undefined = run; at && !seen.has(at.id);) {
    if (!at.isDense) return false;
    seen.add(at.id);
    at = at.began?.run === undefined ? undefined : byId.get(at.began.run);
  }
  return true;
}

/** The run that wrote the file, unless it wrote another one there since. */
function stillThere(
  { path, sha256 }: Source,
  byModel: ReadonlyMap<string, string>,
): string | undefined {
  const id = byModel.get(path);
  if (id === undefined || sha256 === undefined) return id;
  const digest = digestOf(path);
  return digest === undefined || digest === sha256 ? id : undefined;
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
  try {
    const digest = digests.get(key) ?? digestFile(path).sha256;
    digests.set(key, digest);
    return digest;
  } catch {
    return undefined; // A file that cannot be read is not known to be the same.
  }
}

export function packageVersion(): string {
  // Two folders up both from src/data and from dist/data.
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
