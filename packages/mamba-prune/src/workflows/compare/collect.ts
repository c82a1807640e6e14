// Brings together what several machines did of one comparison, without models and without data.
import { programWords } from '../../called-as.js';
import { copyFileSync, existsSync, renameSync, rmSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { UsageError } from '../../errors.js';
import { makeFolder } from '../../files/folder.js';
import { type OptionKinds, checkOptions, requireOptions } from '../../option-checks.js';
import { relativePath, shellCommand } from '../../shell.js';
import { stableJson } from '../../training/options.js';
import type { Comparison } from './compare.js';
import { decideFillback } from './fillback.js';
import { CompareFolder } from './folder.js';
import { differences } from './changed-settings.js';
import { methodsOf } from './methods.js';
import { writeResults } from './report.js';
import { readResults } from './results.js';
import { allSeeds, seedsOf } from './seeds.js';
import { type CompareRun, type CompareSettings, planRuns } from './settings.js';
import { recordFiles, stateOf } from './states.js';

export interface CollectControl {
  /** Folder of the comparison; a new one gets the settings of those that are collected. */
  readonly out: string;
  /** Folders of the same comparison from other machines. None: the results are made anew from what is there. */
  readonly from?: readonly string[] | undefined;
  readonly args?: readonly string[] | undefined;
}

export interface CollectHooks {
  /** A run was taken from one of the folders. */
  readonly onRun?: ((run: CompareRun, from: string) => void) | undefined;
  readonly onNote?: ((note: string) => void) | undefined;
}

export interface Collected extends Comparison {
  /** Names of the runs that were taken. */
  readonly taken: readonly string[];
}

const controlKinds: OptionKinds<CollectControl> = { out: 'string', from: 'array', args: 'array' };
const hookKinds: OptionKinds<CollectHooks> = { onRun: 'function', onNote: 'function' };

/**
 * Takes the finished runs of other folders of the same comparison, of each config.json, metrics.jsonl and pruning.json, and
 * writes the results anew. Nothing is trained, and neither models nor data are needed.
 *
 * @returns with `finished` if no run of the comparison is missing
 * @throws UsageError if a folder holds no comparison, or one with other settings; RunFolderError, DataError
 */
export async function collectRuns(
  control: CollectControl,
  hooks: CollectHooks = {},
): Promise<Collected> {
  requireOptions('collectRuns', control, controlKinds, ['out']);
  checkOptions('collectRuns: hooks', hooks, hookKinds);
  const { out, from = [], args = [] } = control;
  const folders = from.map((path) => resolve(path));
  const settings = together(resolve(out), folders);
  const folder = CompareFolder.open(out, settings, { args });
  try {
    const { path, settings: now } = folder;
    const runs = planRuns(now, path);
    const taken = runs.filter((run) => take(run, path, folders, hooks)).map(({ name }) => name);
    const results = readResults(now, runs, path);
    const finished = runs.every((run) => stateOf(run, path) === 'finished');
    const command = shellCommand([...programWords(), ...args]);
    const note = await writeResults(folder, results, { chart: true, command });
    if (note !== undefined) hooks.onNote?.(note);
    return { finished, settings: now, results, path, taken };
  } finally {
    folder.release();
  }
}

/** The settings of all folders together: they may have different seeds, rates and methods, and nothing else. */
function together(out: string, folders: readonly string[]): CompareSettings {
  const known = [out, ...folders].flatMap((path) => {
    const settings = CompareFolder.settingsOf(path);
    if (settings?.lrs) {
      throw new UsageError(
        `compare: ${relativePath(path)} holds a tuning, expected a comparison. Copy the folders of its runs by hand, and give the command ` +
          'of the tuning again: it takes those that are done.',
      );
    }
    if (settings) return [{ path, settings }];
    if (path === out && folders.length > 0) return [];
    throw new UsageError(
      `compare: ${relativePath(path)} holds no comparison (it has no compare.json), expected the folder of one. ` +
        'Give the folder of a comparison, with its compare.json.',
    );
  });
  const [first, ...others] = known;
  if (!first) throw new UsageError('compare: got no folder to collect from.');
  return others.reduce((all, { path, settings }) => {
    const changed = differences(all, settings);
    if (changed.length === 0) return sum(all, settings);
    throw new UsageError(
      `compare: ${relativePath(path)} holds a comparison with other settings than ${relativePath(first.path)}: ${changed.join('; ')}. ` +
        'Only parts of the same comparison belong together.',
    );
  }, first.settings);
}

/** Of two settings that differ in what may grow. Threads and places are those of the first. */
function sum(a: CompareSettings, other: CompareSettings): CompareSettings {
  const b = atSameRates(a, other);
  const seeds = [...new Set([...a.seeds, ...b.seeds])];
  const rates = [...new Set([...a.rates, ...b.rates])];
  const methods = [...new Set([...methodsOf(a), ...methodsOf(b)])];
  const seedsAt = rates.flatMap((rate) => {
    const both = [a, b].flatMap((of) => (of.rates.includes(rate) ? seedsOf(of, rate) : []));
    const at = [...new Set(both)];
    return stableJson(at) === stableJson(seeds) ? [] : [{ rate, seeds: at }];
  });
  const lrs = [...new Set([...(a.lrs ?? []), ...(b.lrs ?? [])])];
  // A size that one of them has as a share is called so by both.
  const amountsAt = rates.flatMap((rate) => {
    const having = [a, b].filter((of) => of.rates.includes(rate));
    const found = having.map((of) => of.amountsAt?.find((at) => at.rate === rate));
    return found[0] ?? [];
  });
  return {
    ...a,
    seeds,
    rates,
    ...(amountsAt.length > 0 && { amountsAt }),
    ...((a.lrOf ?? b.lrOf) && { lrOf: { ...b.lrOf, ...a.lrOf } }),
    ...((a.methods ?? b.methods) && { methods }),
    refill: decideFillback(a.refill, rates, {
      fillbackAt: [a, b].flatMap(({ refill }) => refill.fillbackAt ?? []),
    }),
    ...(seedsAt.length > 0 ? { seedsAt } : { seedsAt: undefined }),
    ...(lrs.length > 0 && { lrs }),
    ...(a.dense && { dense: denseOf(a, b, allSeeds({ seeds, seedsAt })) }),
  };
}

/**
 * `b` with the rates that `a` has for the same amounts: what a file takes may differ a little from machine to machine, by
 * the version that wrote it.
 */
function atSameRates(a: CompareSettings, b: CompareSettings): CompareSettings {
  const { amountsAt = [] } = b;
  const known = new Map((a.amountsAt ?? []).map(({ rate, amount }) => [amount, rate]));
  const moved = new Map(amountsAt.map(({ rate, amount }) => [rate, known.get(amount) ?? rate]));
  const at = <T extends { readonly rate: number }>(each: T): T => ({
    ...each,
    rate: moved.get(each.rate) ?? each.rate,
  });
  return {
    ...b,
    rates: b.rates.map((rate) => moved.get(rate) ?? rate),
    amountsAt: amountsAt.map(at),
    ...(b.seedsAt && { seedsAt: b.seedsAt.map(at) }),
    ...(b.refill.fillbackAt && {
      refill: { ...b.refill, fillbackAt: b.refill.fillbackAt.map(at) },
    }),
  };
}

/** The dense model of every seed, from whichever of the two has it. */
function denseOf(
  a: CompareSettings,
  b: CompareSettings,
  seeds: readonly number[],
): NonNullable<CompareSettings['dense']> {
  if (a.dense?.length === 1) return a.dense;
  return seeds.flatMap((seed) => {
    const found = [a, b].flatMap((of) => of.dense?.[allSeeds(of).indexOf(seed)] ?? []);
    const [first, second] = found;
    if (first && second && first.sha256 !== second.sha256) {
      throw new UsageError(
        `compare: the dense models of seed ${seed} are different ones: ${relativePath(first.path)} and ${relativePath(second.path)}. ` +
          'Only parts of the same comparison belong together.',
      );
    }
    return first ?? [];
  });
}

/** @returns whether the run was taken from one of the folders */
function take(
  run: CompareRun,
  out: string,
  folders: readonly string[],
  { onRun, onNote }: CollectHooks,
): boolean {
  const here = stateOf(run, out);
  if (here === 'finished') return false;
  const from = folders.find((folder) => isDone(run, folder, out));
  if (from === undefined) return false;
  if (here !== 'new') {
    onNote?.(
      `${run.name} is begun in ${relativePath(out)} and done in ${relativePath(from)}. It was left alone: delete ${relativePath(join(out, run.name))} to take it.`,
    );
    return false;
  }
  copyRecords(join(from, run.name), join(out, run.name));
  onRun?.(run, from);
  return true;
}

/** A scratch run is judged by the one-shot run whose widths it has, which may have been taken already. */
function isDone(run: CompareRun, folder: string, out: string): boolean {
  if (stateOf(run, folder) === 'finished') return true;
  return run.method === 'scratch' && stateOf(run, folder, out) === 'finished';
}

/** Under another name first, so that half a run is never taken for one. */
function copyRecords(from: string, to: string): void {
  const temporary = join(dirname(to), `.${basename(to)}.tmp`);
  rmSync(temporary, { recursive: true, force: true });
  makeFolder(temporary);
  for (const name of recordFiles) {
    if (existsSync(join(from, name))) copyFileSync(join(from, name), join(temporary, name));
  }
  // An empty folder may be there.
  rmSync(to, { recursive: true, force: true });
  renameSync(temporary, to);
}
