// The folder of a comparison:
//
//     compare.json            what is compared
//     seed-0/base             the dense training of a seed: a run of `train`
//     seed-0/dense, ...       the methods: runs of `prune`
//     results.json, .md       what came out, rewritten whenever a run ends
//     tune                    the runs of a tuning, a folder like this one; tuning.json: the learning rates chosen
//     accuracy-macs.svg, .png the picture, where the package that draws it is installed
//     compare.lock            while a process works on it
//     .replaced               the comparison that was there before, until a run of this one has begun
import { listed } from '../../printable.js';
import { relativePath } from '../../shell.js';
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { systemReason, writeFileAtomic } from '@mamba-prune/libtorch/files';
import { z } from 'zod';
import { fitting, readJson } from '../../files/json.js';
import { isWrongName, makeFolder } from '../../files/folder.js';
import { type Environment, describeEnvironment } from '../../training/environment.js';
import { RunFolderError, lockedFolder } from '../../training/errors.js';
import { FileLock, LockedError } from '../../files/lock.js';
import { asideName, bringBack, dropAside, setAside } from '../../files/set-aside.js';
import { stableJson } from '../../training/options.js';
import { isUnderWay } from '../../training/failed-start.js';
import { RunFolder } from '../../training/run-folder.js';
import { readPruningRecord } from '../prune/record.js';
import { goOn } from './go-on.js';
import { type CompareSettings, todaysComparison } from './settings.js';

const kind = 'mamba-prune comparison';
const fileName = 'compare.json';

const fileSchema = z.looseObject({
  kind: z.literal(kind),
  format: z.literal(1),
  settings: z.looseObject({
    seeds: z.array(z.number()),
    rates: z.array(z.number()),
    threads: z.number(),
  }),
});

interface CompareFile extends Environment {
  readonly kind: typeof kind;
  readonly format: 1;
  /** ISO 8601. */
  readonly created: string;
  /** Command lines, the first one first; and the folder that the last was typed in. */
  readonly args: readonly (readonly string[])[];
  readonly cwd: string;
  readonly settings: CompareSettings;
}

export interface OpenOptions {
  readonly args?: readonly string[] | undefined;
  /** Replaces what another comparison left in the folder, which is deleted once a run of this one has something. */
  readonly overwrite?: boolean | undefined;
}

export class CompareFolder {
  readonly #lock: FileLock;

  /** Absolute. */
  readonly path: string;
  /** As the comparison began, with what was added to it. */
  readonly settings: CompareSettings;

  private constructor(path: string, lock: FileLock, settings: CompareSettings) {
    this.path = path;
    this.settings = settings;
    this.#lock = lock;
  }

  /**
   * Begins a comparison, or goes on with one. Threads of a comparison that has begun stay as they
   * were; its seeds, rates and methods may grow, not shrink.
   *
   * @throws UsageError if another comparison is there; RunFolderError if the folder holds something
   *   else, is damaged, in use, or cannot be written
   */
  static open(out: string, settings: CompareSettings, options: OpenOptions = {}): CompareFolder {
    const path = resolve(out);
    let lock: FileLock;
    try {
      makeFolder(path);
      lock = FileLock.acquire(join(path, 'compare.lock'), path);
    } catch (error) {
      if (error instanceof LockedError) throw lockedFolder(error);
      throw new RunFolderError(
        path,
        `compare: cannot write ${relativePath(path)}: ${systemReason(error)}`,
        {
          cause: error,
          isUsage: isWrongName(error),
        },
      );
    }
    try {
      if (options.overwrite === true && isComparison(path)) setAside(path, filesOf(path));
      const before = read(path);
      if (!before) checkEmpty(path);
      const now = before ? goOn(path, before.settings, settings) : settings;
      const file: CompareFile = {
        kind,
        format: 1,
        created: new Date().toISOString(),
        ...describeEnvironment(),
        ...before,
        args: [...(before?.args ?? []), options.args ?? []],
        cwd: process.cwd(),
        settings: now,
      };
      if (stableJson(before?.settings) !== stableJson(now)) {
        writeFileAtomic(join(path, fileName), `${JSON.stringify(file, null, 2)}\n`);
      }
      return new CompareFolder(path, lock, now);
    } catch (error) {
      bringBackUnlessBegun(path);
      lock.release();
      throw error;
    }
  }

  /** Of the comparison in a folder; undefined if there is none, or it is to be thrown away. */
  static settingsOf(out: string, { overwrite }: OpenOptions = {}): CompareSettings | undefined {
    return overwrite === true ? undefined : read(resolve(out))?.settings;
  }

  file(name: string): string {
    return join(this.path, name);
  }

  /** Deletes the comparison that it replaces: a run of this one has ended. */
  dropReplaced(): void {
    dropAside(this.path);
  }

  /**
   * Where none of its runs has done anything, the comparison that it replaces is there again.
   * @returns whether there is one
   */
  bringBackReplaced(): boolean {
    return bringBackUnlessBegun(this.path);
  }

  /** A comparison that it replaces is there again if none of its runs has done anything, and is deleted otherwise. */
  release(): void {
    bringBackUnlessBegun(this.path);
    this.#lock.release();
  }
}

function read(path: string): CompareFile | undefined {
  const file = join(path, fileName);
  if (!existsSync(file)) return undefined;
  const parse = (json: unknown): CompareFile => {
    fitting(fileSchema, json);
    // With the entries that the schema does not name.
    return todaysFile(json as CompareFile);
  };
  return readJson(
    file,
    parse,
    (problem, cause) =>
      new RunFolderError(
        path,
        `compare: ${relativePath(file)} does not describe a comparison: ${problem}. The runs beside it are whole: delete the ` +
          'file and give the same command again, or choose another folder.',
        { cause },
      ),
  );
}

function todaysFile(file: CompareFile): CompareFile {
  return { ...file, settings: todaysComparison(file.settings) };
}

const isComparison = (path: string): boolean => {
  try {
    return read(path) !== undefined;
  } catch {
    return true; // damaged, but one of ours
  }
};

const isOurs = (name: string): boolean =>
  /^(seed-\d+|results\.(json|md)|accuracy-macs\.(svg|png)|compare\.(json|lock.*)|tune|tuning\.json)$/.test(
    name,
  );

/**
 * The comparison's own files, its description last: with it the folder is still a comparison. A tuning stays: it was made
 * before, for whichever comparison comes.
 */
function filesOf(path: string): string[] {
  const names = readdirSync(path).filter(
    (name) => isOurs(name) && !/^(compare\.|tun(e$|ing\.))/.test(name),
  );
  return [...names, fileName];
}

/** @returns whether what was there is there again */
function bringBackUnlessBegun(path: string): boolean {
  if (!existsSync(join(path, asideName))) return false;
  if (runsIn(path).some(hasBegun)) {
    dropAside(path);
    return false;
  }
  for (const name of filesOf(path)) rmSync(join(path, name), { recursive: true, force: true });
  bringBack(path);
  return true;
}

const runsIn = (path: string): string[] =>
  readdirSync(path)
    .filter((name) => /^seed-\d+$/.test(name))
    .flatMap((seed) => readdirSync(join(path, seed)).map((name) => join(path, seed, name)))
    .filter((run) => RunFolder.isRun(run));

/** Whether a run has anything that would be lost. */
function hasBegun(run: string): boolean {
  try {
    const isCut = (readPruningRecord(run)?.rounds.length ?? 0) > 0;
    return isCut || isUnderWay(RunFolder.open(run));
  } catch {
    return true; // damaged, so that there was something
  }
}

/** A folder with runs of a comparison whose description was deleted is taken up again. */
function checkEmpty(path: string): void {
  const foreign = readdirSync(path).filter(
    (name) => !isOurs(name) && name !== asideName && !name.endsWith('.tmp'),
  );
  if (foreign.length === 0 && !RunFolder.isRun(path)) return;
  throw new RunFolderError(
    path,
    `compare: ${relativePath(path)} is not empty (${listed(foreign, 4)}) and holds no comparison, expected a new or empty folder. ` +
      'Choose another one.',
    { isUsage: true },
  );
}
