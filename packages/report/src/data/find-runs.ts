// The runs and comparisons below what was named on the command line.
import { existsSync, readdirSync, statSync } from 'node:fs';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { RunFolder, UsageError } from 'mamba-prune';
import { checkPaths } from '../report-options.js';

/** Folders of runs hold checkpoints and event files, but may hold a run that they began with. */
const skipped = new Set(['checkpoints', 'tensorboard', 'importance', 'node_modules']);
/** A comparison in a folder of comparisons has its runs three levels down. */
const maxDepth = 5;

export interface FoundRuns {
  /** What ids of runs are relative to: the folder that holds them all. */
  readonly root: string;
  /** The same for comparisons, which may lie elsewhere. */
  readonly comparisonRoot: string;
  /** Absolute paths, in order and each once. */
  readonly runs: readonly string[];
  readonly comparisons: readonly string[];
  /** Files of measurements that were named themselves. */
  readonly sensitivities: readonly string[];
  /** Folders whose config.json is no JSON, or no run's beside a log, so that nobody knows what they are. */
  readonly damaged: readonly string[];
}

/** The same while they are looked for. */
interface Found {
  readonly runs: Set<string>;
  readonly comparisons: Set<string>;
  readonly damaged: Set<string>;
}

const nothing = (): Found => ({ runs: new Set(), comparisons: new Set(), damaged: new Set() });

const listed = ({ runs, comparisons, damaged }: Found) => ({
  runs: [...runs],
  comparisons: [...comparisons],
  damaged: [...damaged],
});

/**
 * @param paths - folders of runs, folders that hold some anywhere below, or files of measurements
 * @throws UsageError if `paths` is no array of paths or an empty one, for a path that does not exist, or if there is no run in any
 */
export function findRuns(paths: readonly string[]): FoundRuns {
  checkPaths('findRuns: paths', paths);
  const found = nothing();
  const { runs, comparisons } = found;
  const sensitivities = new Set<string>();
  // Of a path that holds nothing but damaged runs: no reason to leave those of other paths out.
  let onlyDamaged: UsageError | undefined;
  for (const path of paths) {
    const before = runs.size + comparisons.size;
    const damagedBefore = found.damaged.size;
    const folder = resolve(path);
    const stat = statSync(folder, { throwIfNoEntry: false });
    if (stat?.isFile() === true && folder.endsWith('.json')) {
      sensitivities.add(folder);
      continue;
    }
    if (!stat?.isDirectory()) {
      throw new UsageError(
        `${path} ${stat ? 'is no folder' : 'does not exist'}, expected the folder of a run, one that holds runs, or the .json file of a measurement of sensitivity.`,
      );
    }
    visit(folder, 0, found);
    const isKnown = runs.has(folder) || comparisons.has(folder);
    if (runs.size + comparisons.size === before && !isKnown) {
      const damaged = [...found.damaged].map((run) => ` The config.json of ${run} is damaged.`);
      const error = new UsageError(
        `${path} holds no run, expected the folder of a run, or one above it.${damaged.join('')}`,
      );
      if (found.damaged.size === damagedBefore) throw error;
      onlyDamaged ??= error;
    }
  }
  if (onlyDamaged && runs.size + comparisons.size === 0) throw onlyDamaged;
  return {
    root: commonFolder(
      [runs, comparisons, sensitivities].map((each) => [...each]).find((each) => each.length > 0) ??
        [],
    ),
    comparisonRoot: commonFolder([...comparisons]),
    sensitivities: [...sensitivities],
    ...listed(found),
  };
}

/** As `findRuns` for one folder, which may be empty. */
export function findRunsBelow(folder: string): FoundRuns {
  const found = nothing();
  const root = resolve(folder);
  visit(root, 0, found);
  return { root, comparisonRoot: root, sensitivities: [], ...listed(found) };
}

/** The name of a run in a report. */
export function idOf(path: string, root: string): string {
  const id = relative(root, path).split(sep).join('/');
  return id === '' ? path.slice(path.lastIndexOf(sep) + 1) : id;
}

function visit(folder: string, depth: number, found: Found): void {
  const has = (name: string): boolean => existsSync(join(folder, name));
  if (RunFolder.isRun(folder)) found.runs.add(folder);
  else if (has('results.json') && has('compare.json')) found.comparisons.add(folder);
  else if (has('config.json') && (has('metrics.jsonl') || isTorn(folder)))
    found.damaged.add(folder);
  if (depth >= maxDepth) return;
  for (const name of namesIn(folder)) visit(join(folder, name), depth + 1, found);
}

/** Whether its config.json is no JSON: that of another program, which is no run, can be read. */
function isTorn(folder: string): boolean {
  try {
    RunFolder.open(folder);
    return false;
  } catch (error) {
    return (error as Error).cause instanceof SyntaxError;
  }
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder, { withFileTypes: true })
      .filter((entry) => entry.isDirectory() && !entry.name.startsWith('.'))
      .map(({ name }) => name)
      .filter((name) => !skipped.has(name))
      .sort((a, b) => a.localeCompare(b, 'en', { numeric: true }));
  } catch {
    return []; // not ours to read, or gone meanwhile
  }
}

/** The folder that all paths lie in; of one path the folder around it. */
function commonFolder(paths: readonly string[]): string {
  const parts = paths.map((path) => dirname(path).split(sep));
  const first = parts[0] ?? [];
  const same = first.findIndex((part, i) => parts.some((other) => other[i] !== part));
  return (same < 0 ? first : first.slice(0, same)).join(sep) || sep;
}
