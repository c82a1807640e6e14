/**
 * The folder of a run:
 *
 *     config.json                       everything needed to repeat it
 *     metrics.jsonl                     one JSON object a line
 *     checkpoints/last.safetensors      to resume from
 *     checkpoints/previous.safetensors  the one before, should the last be damaged
 *     checkpoints/lost/                 what was left when a training began anew (--restart)
 *     checkpoints/best.safetensors      model with the best validation accuracy
 *     checkpoints/init.safetensors      model as its training began; epoch-E.safetensors: after E epochs
 *     checkpoints/round-j.safetensors   model after round j of a pruning; round-j-cut.safetensors: while
 *                                       the training after its cut has not ended
 *     model.safetensors                 the finished model
 *     pruning.json                      what was cut, if the run pruned
 *     importance/round-j.json           the scores that a cut went by
 *     tensorboard/                      event files, if they are asked for
 *     run.lock                          while a process writes the run
 */
import { readTextFile, systemReason, writeFileAtomic } from '@mamba-prune/libtorch/files';
import {
  copyFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import { basename, join, relative, resolve, sep } from 'node:path';
import { z } from 'zod';
import { checkFolder, isWrongName, makeFolder } from '../files/folder.js';
import { FileLock, LockedError } from '../files/lock.js';
import { describeEnvironment, type Environment } from './environment.js';
import { RunFolderError, lockedFolder } from './errors.js';
import { type MetricsLine, readMetricsFile } from './metrics.js';
import type { ResolvedTrainOptions } from './types.js';

const cacheKind = 'mamba-prune run';

/** What the caller knows of a run; versions, machine and time are added. Must be JSON. */
export interface RunDescription {
  /** Name of the command: 'train', 'prune', ... */
  readonly command: string;
  /** The command line as typed, without node and script. */
  readonly args: readonly string[];
  readonly seed: number;
  /** Name and facts of the data set, and where it was read from. */
  readonly dataset?: unknown;
  /** From which the model can be built again. */
  readonly model?: unknown;
  readonly train?: ResolvedTrainOptions;
  readonly [extra: string]: unknown;
}

/** The content of config.json. */
export interface RunConfig extends RunDescription, Environment {
  readonly kind: typeof cacheKind;
  readonly format: 1;
  /** ISO 8601. */
  readonly created: string;
  readonly cwd: string;
  /** One entry each time the run was resumed. */
  readonly resumed: readonly {
    readonly at: string;
    readonly step: number;
    readonly note?: string;
  }[];
}

const configSchema = z.looseObject({
  kind: z.literal(cacheKind),
  format: z.literal(1),
  command: z.string(),
  args: z.array(z.string()),
  seed: z.number(),
  created: z.string(),
  resumed: z.array(z.looseObject({ at: z.string(), step: z.number() })),
});

/** Everything a run may have written, config.json last: with it the folder is still a run. */
const contentsFile = [
  'metrics.jsonl',
  'checkpoints',
  'pruning.json',
  'importance',
  'model.safetensors',
  'tensorboard',
  'report',
  'config.json',
];

export interface CreateOptions {
  /** Deletes a run that is already there, and only a run; default false. */
  readonly overwrite?: boolean | undefined;
  /** The file that the new run begins with: never deleted. */
  readonly source?: string | undefined;
}

/** Of a run that begins now. */
function newConfig(description: RunDescription): RunConfig {
  return {
    kind: cacheKind,
    format: 1,
    created: new Date().toISOString(),
    cwd: process.cwd(),
    ...describeEnvironment(),
    ...description,
    resumed: [],
  };
}

export class RunFolder {
  #config: RunConfig;

  readonly #lock: FileLock | undefined;

  /** Absolute. */
  readonly path: string;

  private constructor(path: string, config: RunConfig, lock: FileLock | undefined) {
    this.path = path;
    this.#lock = lock;
    this.#config = config;
  }

  /**
   * What `create` asks of a folder, for those who have long work to do before it. None there is as good as an empty one.
   * @throws RunFolderError if the folder has anything in it, or cannot be read, written or made
   */
  static checkNew(path: string, { overwrite, source }: CreateOptions = {}): void {
    const folder = resolve(path);
    guarded(folder, () => {
      checkFolder(folder);
      if (!existsSync(folder)) return;
      const found = contents(folder);
      const isRun = RunFolder.isRun(folder);
      if (found.length > 0 && !(isRun && overwrite === true)) throw notEmpty(folder, found, isRun);
      if (source !== undefined && wouldBeDeleted(folder, source)) {
        throw new RunFolderError(
          folder,
          `RunFolder: ${folder} holds ${source}, which the new run begins with and \`overwrite\` would delete, expected another folder. ` +
            'Choose one.',
          { isUsage: true },
        );
      }
    });
  }

  /**
   * Makes the folder of a new run, locked for this process until `release()`.
   * @throws RunFolderError if the folder has anything in it, is locked or cannot be written
   */
  static create(path: string, description: RunDescription, options: CreateOptions = {}): RunFolder {
    const folder = resolve(path);
    const lock = guarded(folder, () => {
      makeFolder(folder);
      return FileLock.acquire(join(folder, 'run.lock'), folder);
    });
    try {
      return guarded(folder, () => {
        RunFolder.checkNew(folder, options);
        for (const name of contentsFile)
          rmSync(join(folder, name), { recursive: true, force: true });
        mkdirSync(join(folder, 'checkpoints'));
        const config = newConfig(description);
        const run = new RunFolder(folder, config, lock);
        run.#writeConfig(config);
        return run;
      });
    } catch (error) {
      lock.release();
      throw error;
    }
  }

  /**
   * Opens a run to read it, or with `write` to go on with it (locked until `release()`).
   * @throws RunFolderError if it is not a run, its config.json is damaged, or another process writes it
   */
  static open(path: string, { write = false } = {}): RunFolder {
    const folder = resolve(path);
    const config = readConfig(folder);
    const lock = write
      ? guarded(folder, () => FileLock.acquire(join(folder, 'run.lock'), folder))
      : undefined;
    return new RunFolder(folder, config, lock);
  }

  /**
   * The run that another process writes, rank 0 of several workers: its name and paths, for a process
   * that neither reads nor writes it. The folder may be on another machine.
   */
  static follow(path: string, description: RunDescription): RunFolder {
    const config = newConfig(description);
    return new RunFolder(resolve(path), config, undefined);
  }

  /** Whether a path is the folder of a run, damaged or not. */
  static isRun(path: string): boolean {
    const folder = resolve(path);
    return existsSync(join(folder, 'config.json')) && isRunConfig(folder);
  }

  get config(): RunConfig {
    return this.#config;
  }

  get name(): string {
    return basename(this.path);
  }

  get configPath(): string {
    return join(this.path, 'config.json');
  }

  get metricsPath(): string {
    return join(this.path, 'metrics.jsonl');
  }

  /** The finished model; not there before. */
  get modelPath(): string {
    return join(this.path, 'model.safetensors');
  }

  get lastCheckpoint(): string {
    return join(this.path, 'checkpoints', 'last.safetensors');
  }

  get previousCheckpoint(): string {
    return join(this.path, 'checkpoints', 'previous.safetensors');
  }

  /** Where a training that begins anew puts what is left of the one before. */
  get asidePath(): string {
    return join(this.path, 'checkpoints', 'lost');
  }

  /** Whether a training has begun in it: one that was killed before its first checkpoint has not. */
  get hasTrained(): boolean {
    return (
      existsSync(this.lastCheckpoint) ||
      existsSync(this.previousCheckpoint) ||
      (this.#config.command === 'train' && existsSync(this.modelPath)) ||
      (statSync(this.metricsPath, { throwIfNoEntry: false })?.size ?? 0) > 0
    );
  }

  /** A model file, not a checkpoint. */
  get bestModel(): string {
    return join(this.path, 'checkpoints', 'best.safetensors');
  }

  /** Whether a process writes the run right now. */
  get isWritten(): boolean {
    return FileLock.isHeld(join(this.path, 'run.lock'));
  }

  /** Whether this process may write the run. */
  get writable(): boolean {
    return this.#lock !== undefined;
  }

  /** The complete lines of metrics.jsonl. */
  readMetrics(): MetricsLine[] {
    return readMetricsFile(this.metricsPath);
  }

  /** Changes config.json. */
  update(changes: Partial<RunConfig>): void {
    this.requireLock();
    const config = { ...this.#config, ...changes };
    guarded(this.path, () => {
      this.#writeConfig(config);
    });
    this.#config = config;
  }

  /** Keeps the last checkpoint as the previous one; there is a last one at every moment. */
  keepPrevious(): void {
    this.requireLock();
    if (!existsSync(this.lastCheckpoint)) return;
    guarded(this.path, () => {
      replaceWithCopy(this.lastCheckpoint, this.previousCheckpoint);
    });
  }

  /** Puts the previous checkpoint in the last one's place, which is moved aside. */
  restorePrevious(): void {
    this.requireLock();
    guarded(this.path, () => {
      if (existsSync(this.lastCheckpoint)) {
        renameSync(this.lastCheckpoint, join(this.path, 'checkpoints', 'damaged.safetensors'));
      }
      replaceWithCopy(this.previousCheckpoint, this.lastCheckpoint);
    });
  }

  /** Checkpoints that cannot be read, and a copy of the metrics, whose lines will be written anew. */
  setCheckpointsAside(): void {
    this.requireLock();
    guarded(this.path, () => {
      makeFolder(this.asidePath);
      for (const path of [this.lastCheckpoint, this.previousCheckpoint]) {
        if (existsSync(path)) renameSync(path, join(this.asidePath, basename(path)));
      }
      if (existsSync(this.metricsPath)) {
        copyFileSync(this.metricsPath, join(this.asidePath, basename(this.metricsPath)));
      }
    });
  }

  /** @throws RunFolderError if the run was opened for reading only */
  requireLock(): void {
    if (this.#lock !== undefined) return;
    throw new RunFolderError(
      this.path,
      `RunFolder: ${this.path} is open for reading, expected for writing. Open it with { write: true }.`,
    );
  }

  /** Lets other processes write the run. */
  release(): void {
    this.#lock?.release();
  }

  #writeConfig(config: RunConfig): void {
    writeFileAtomic(this.configPath, `${JSON.stringify(config, null, 2)}\n`);
  }
}

/** Under a name of its own first, so that the target is never missing. Hard links cost nothing. */
function replaceWithCopy(source: string, target: string): void {
  const temporary = `${target}.tmp`;
  rmSync(temporary, { force: true });
  try {
    linkSync(source, temporary);
  } catch {
    copyFileSync(source, temporary); // a file system without hard links
  }
  renameSync(temporary, target);
}

/**
 * What is in the folder, less what a process killed while it began a run may have left, and less runs
 * of their own: those that this one builds on.
 */
function contents(folder: string): string[] {
  return readdirSync(folder).filter((name) => {
    if (name.startsWith('run.lock') || /^\.config\.json\..*\.tmp$/.test(name)) return false;
    if (RunFolder.isRun(join(folder, name))) return false;
    return !(name === 'checkpoints' && readdirSync(join(folder, name)).length === 0);
  });
}

/** Whether a file is among what `create` deletes of a folder. */
function wouldBeDeleted(folder: string, file: string): boolean {
  if (!existsSync(file)) return false;
  const [first = ''] = relative(realpathSync(folder), realpathSync(file)).split(sep);
  return contentsFile.includes(first);
}

function notEmpty(folder: string, found: readonly string[], isRun: boolean): RunFolderError {
  const listed = `${found.slice(0, 4).join(', ')}${found.length > 4 ? ', ...' : ''}`;
  return new RunFolderError(
    folder,
    isRun
      ? `RunFolder: ${folder} holds a run already, expected a new or empty folder. ` +
          'Resume it (`resume`), delete it (`overwrite`), or choose another folder.'
      : `RunFolder: ${folder} is not empty (${listed}) and is no run, expected a new or empty folder. ` +
          'Choose another one.',
    { isUsage: true },
  );
}

/** What describes a run has a few kilobytes; a larger file is something else. */
const readConfigText = (path: string): string => readTextFile(path, { most: 64 * 1024 ** 2 });

function isRunConfig(folder: string): boolean {
  try {
    const config: unknown = JSON.parse(readConfigText(join(folder, 'config.json')));
    return (
      typeof config === 'object' && config !== null && 'kind' in config && config.kind === cacheKind
    );
  } catch {
    return false;
  }
}

function readConfig(folder: string): RunConfig {
  const path = join(folder, 'config.json');
  let json: unknown;
  try {
    json = JSON.parse(readConfigText(path));
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const isMissing = code === 'ENOENT' || code === 'ENOTDIR';
    throw new RunFolderError(
      folder,
      isMissing
        ? `RunFolder: ${folder} is no run (it has no config.json). Give the folder of a run.`
        : `RunFolder: ${path} cannot be read: ${message}`,
      { cause: error, isUsage: isMissing },
    );
  }
  const parsed = configSchema.safeParse(json);
  if (!parsed.success) {
    throw new RunFolderError(
      folder,
      `RunFolder: ${path} does not describe a run:\n${z.prettifyError(parsed.error)}`,
    );
  }
  return json as RunConfig;
}

/** Runs `body`; an error of the system becomes one that names the folder. */
function guarded<T>(folder: string, body: () => T): T {
  try {
    return body();
  } catch (error) {
    if (error instanceof RunFolderError) throw error;
    if (error instanceof LockedError) throw lockedFolder(error);
    throw new RunFolderError(folder, `RunFolder: cannot write ${folder}: ${systemReason(error)}`, {
      cause: error,
      isUsage: isWrongName(error),
    });
  }
}
