// A part of the runs of a comparison, by their names: what one machine of several does.
import { UsageError } from '../../errors.js';
import { matcherOf } from '../../name-pattern.js';
import { listed } from '../../printable.js';
import type { CompareRun } from './settings.js';

type Named = Pick<CompareRun, 'name'> & { readonly after?: string };

/**
 * The runs whose names a pattern matches, and those that they need and that are not done, in their order.
 * @param patterns - `*` stands for any characters and `?` for one; undefined for all runs
 * @throws UsageError for a pattern that matches none
 */
export function selectRuns<T extends Named>(
  runs: readonly T[],
  patterns: readonly string[] | undefined,
  isDone: (run: T) => boolean,
): readonly T[] {
  if (patterns === undefined) return runs;
  const wanted = new Set<string>();
  for (const pattern of patterns) {
    const fits = matcherOf(pattern);
    const matched = runs.filter(({ name }) => fits(name));
    if (matched.length === 0) {
      throw new UsageError(
        `compare: got \`only\` ${JSON.stringify(pattern)}, which names no run, expected a name such as ` +
          `${runs[0]?.name ?? ''} or a pattern such as seed-0/*. The runs: ${listed(runs.map(({ name }) => name))}.`,
      );
    }
    for (const { name } of matched) wanted.add(name);
  }
  const byName = new Map(runs.map((run) => [run.name, run]));
  // A run is needed by one that comes after it in no order of its own.
  for (const name of wanted) {
    const run = byName.get(name);
    const needed = run?.after === undefined ? undefined : byName.get(run.after);
    if (run && needed && !isDone(run) && !isDone(needed)) wanted.add(needed.name);
  }
  return runs.filter(({ name }) => wanted.has(name));
}

/**
 * Before a folder is written: a comparison that was begun, or has grown, with a name that was mistyped would be held against
 * the next command.
 * @throws UsageError for a pattern that matches no run
 */
export function checkOnly(runs: readonly Named[], patterns: readonly string[] | undefined): void {
  selectRuns(runs, patterns, () => true);
}
