// Follows the runs below a folder. It looks at sizes and times of a few files once a second: notifications of
// the system do not reach folders on network drives, and are limited in number.
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { RunFolder } from 'mamba-prune';
import type { BoxedRuns } from '../data/boxed.js';
import { damagedNote, kindLabels, linked, packageVersion } from '../data/collect.js';
import { studioCommand } from '../data/facts.js';
import { findRunsBelow, idOf } from '../data/find-runs.js';
import { readComparison } from '../data/read-comparison.js';
import { type ReadRun, readRun } from '../data/read-run.js';
import type { ComparisonData } from '../page-data/comparison.js';
import type { ReportData, StudioUpdate } from '../page-data/report.js';
import type { RunData } from '../page-data/run.js';

interface Entry<T> {
  /** Of the files that it was read from. */
  readonly signature: string;
  readonly value: T | undefined;
  /** Why it could not be read. */
  readonly problem: string | undefined;
}

const runFiles = [
  'config.json',
  'metrics.jsonl',
  'pruning.json',
  'model.safetensors',
  'run.lock',
  'sensitivity.json',
];
const comparisonFiles = ['compare.json', 'results.json'];

/** How often files are looked at while somebody listens, in ms. */
const interval = 1000;

export class Watcher {
  readonly #folder: string;
  readonly #instead: BoxedRuns;
  readonly #listeners = new Set<(update: StudioUpdate) => void>();
  #timer: NodeJS.Timeout | undefined;
  #runs = new Map<string, Entry<ReadRun>>();
  #comparisons = new Map<string, Entry<ComparisonData>>();
  #damaged: readonly string[] = [];
  #shown = new Map<string, string>();

  /** @param instead - what is shown while there are no runs. Nothing by default. */
  constructor(folder: string, instead: BoxedRuns = { runs: [], notes: [] }) {
    this.#folder = folder;
    this.#instead = instead;
    this.refresh();
  }

  /** Everything as it was read last. */
  report(): ReportData {
    return {
      kind: 'mamba-prune report',
      format: 1,
      version: packageVersion(),
      created: new Date().toISOString(),
      studio: studioCommand(this.#folder),
      runs: this.#linkedRuns(),
      comparisons: values(this.#comparisons),
      kinds: kindLabels(),
      notes: [
        ...this.#damaged.map(damagedNote),
        ...problems(this.#runs, this.#comparisons),
        ...values(this.#runs).flatMap((run) => run.problems),
        ...(this.#isEmpty() ? this.#instead.notes : []),
      ],
    };
  }

  run(id: string): RunData | undefined {
    return this.#linkedRuns().find((run) => run.id === id);
  }

  /**
   * Tells `listener` of every change from now on; files are looked at only while somebody listens.
   * @returns what ends that
   */
  subscribe(listener: (update: StudioUpdate) => void): () => void {
    this.#listeners.add(listener);
    this.#timer ??= setInterval(() => {
      this.refresh();
    }, interval);
    return () => {
      this.#listeners.delete(listener);
      if (this.#listeners.size > 0) return;
      clearInterval(this.#timer);
      this.#timer = undefined;
    };
  }

  /** Reads what has changed, and tells everybody who listens. */
  refresh(): void {
    const update = this.#update();
    if (update) for (const listener of this.#listeners) listener(update);
  }

  #update(): StudioUpdate | undefined {
    const { root, runs, comparisons, damaged } = findRunsBelow(this.#folder);
    const sameDamaged = damaged.join('\0') === this.#damaged.join('\0');
    this.#damaged = damaged;
    const before = [...this.#runs.values(), ...this.#comparisons.values()];
    this.#runs = refreshed(this.#runs, runs, runSignature, (path) =>
      readRun(path, idOf(path, root)),
    );
    this.#comparisons = refreshed(this.#comparisons, comparisons, comparisonSignature, (path) =>
      readComparison(path, idOf(path, root)),
    );
    const after = [...this.#runs.values(), ...this.#comparisons.values()];
    if (
      sameDamaged &&
      after.length === before.length &&
      after.every((entry, i) => entry === before[i])
    ) {
      return undefined;
    }
    const { runs: all, comparisons: compared, notes } = this.report();
    // A run changes too when what it pruned appears.
    const texts = new Map(all.map((run) => [run.id, JSON.stringify(run)]));
    const changed = all.filter(({ id }) => texts.get(id) !== this.#shown.get(id));
    this.#shown = texts;
    return { order: all.map(({ id }) => id), runs: changed, comparisons: compared, notes };
  }

  #linkedRuns(): RunData[] {
    return this.#isEmpty() ? [...this.#instead.runs] : linked(values(this.#runs));
  }

  #isEmpty(): boolean {
    return this.#runs.size + this.#comparisons.size + this.#damaged.length === 0;
  }
}

function refreshed<T>(
  old: ReadonlyMap<string, Entry<T>>,
  paths: readonly string[],
  signatureOf: (path: string) => string,
  read: (path: string) => T,
): Map<string, Entry<T>> {
  return new Map(
    paths.map((path) => {
      const signature = signatureOf(path);
      const entry = old.get(path);
      return [
        path,
        entry?.signature === signature ? entry : readEntry(signature, () => read(path), entry),
      ];
    }),
  );
}

function readEntry<T>(signature: string, read: () => T, old: Entry<T> | undefined): Entry<T> {
  try {
    return { signature, value: read(), problem: undefined };
  } catch (error) {
    // One damaged run must not hide the others; what was known of it stays.
    return { signature, value: old?.value, problem: (error as Error).message };
  }
}

function runSignature(path: string): string {
  // A process that was killed leaves its lock behind: then no file changes.
  return `${stamps(path, runFiles)} ${isWritten(path)}`;
}

function isWritten(path: string): boolean {
  try {
    return RunFolder.open(path).isWritten;
  } catch {
    return false; // Damaged, which reading it says.
  }
}

const comparisonSignature = (path: string): string => stamps(path, comparisonFiles);

const stamps = (path: string, names: readonly string[]): string =>
  names
    .map((name) => statSync(join(path, name), { throwIfNoEntry: false }))
    .map((stat) => (stat ? `${stat.size}/${stat.mtimeMs}` : '-'))
    .join(' ');

const values = <T>(entries: ReadonlyMap<string, Entry<T>>): T[] =>
  [...entries.values()].flatMap(({ value }) => (value === undefined ? [] : [value]));

const problems = (...maps: readonly ReadonlyMap<string, Entry<unknown>>[]): string[] =>
  maps.flatMap((entries) =>
    [...entries.values()].flatMap(({ problem }) => (problem === undefined ? [] : [problem])),
  );
