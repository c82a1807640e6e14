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
 *     .replaced/                        the run that was there before, until this one has something
 */
import { systemReason, writeFileAtomic } from '@mamba-prune/libtorch/files';
import {
  copyFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { isWrongName, makeFolder, removeEmptyFolders } from '../files/folder.js';
import { FileLock, LockedError } from '../files/lock.js';
import { asideName, bringBack, dropAside } from '../files/set-aside.js';
import { RunFolderError, lockedFolder } from './errors.js';
import { type MetricsLine, readMetricsFile } from './metrics.js';
import { type CreateOptions, checkFresh, deleteRun, setRunAside } from './new-run-folder.js';
import {
  type RunConfig,
  type RunDescription,
  configPathOf,
  isRun,
  newConfig,
  readConfig,
} from './run-config.js';

export class RunFolder {
  #config: RunConfig;
  /** Whether a run that it replaces may still be there. */
  #replaces = true;

  readonly #lock: FileLock | undefined;
  /** Folders that `create` made for it, the outermost first; undefined of a run that was opened or discarded. */
  #made: readonly string[] | undefined;

  /** Absolute. */
  readonly path: string;

  private constructor(
    path: string,
    config: RunConfig,
    lock: FileLock | undefined,
    made?: readonly string[],
  ) {
    this.path = path;
    this.#lock = lock;
    this.#config = config;
    this.#made = made;
  }

  /**
   * What `create` asks of a folder, for those who have long work to do before it. None there is as good as an empty one.
   * @throws RunFolderError if the folder has anything in it, or cannot be read, written or made
   */
  static checkNew(path: string, options: CreateOptions = {}): void {
    const folder = resolve(path);
    guarded(folder, () => {
      checkFresh(folder, options);
    });
  }

  /**
   * Makes the folder of a new run, locked for this process until `release()`.
   * @throws RunFolderError if the folder has anything in it, is locked or cannot be written
   */
  static create(path: string, description: RunDescription, options: CreateOptions = {}): RunFolder {
    const folder = resolve(path);
    let made: string[] = [];
    const lock = guarded(folder, () => {
      made = makeFolder(folder);
      return FileLock.acquire(join(folder, 'run.lock'), folder);
    });
    try {
      return guarded(folder, () => {
        RunFolder.checkNew(folder, options);
        return RunFolder.#replacing(folder, () => {
          mkdirSync(join(folder, 'checkpoints'));
          const config = newConfig(description);
          const run = new RunFolder(folder, config, lock, made);
          run.#writeConfig(config);
          return run;
        });
      });
    } catch (error) {
      lock.release();
      removeEmptyFolders(made);
      throw error;
    }
  }

  /** The run that is there comes back should the new one not be made. */
  static #replacing(folder: string, make: () => RunFolder): RunFolder {
    setRunAside(folder);
    try {
      return make();
    } catch (error) {
      deleteRun(folder);
      bringBack(folder);
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
    return isRun(resolve(path));
  }

  get config(): RunConfig {
    return this.#config;
  }

  get name(): string {
    return basename(this.path);
  }

  get configPath(): string {
    return configPathOf(this.path);
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

  /** Whether this process made it, and did not open one that was there. */
  get isNew(): boolean {
    return this.#made !== undefined;
  }

  /** Whether this process made it in place of a run that can still come back. */
  get replacesAnother(): boolean {
    return this.isNew && this.#replaces && existsSync(join(this.path, asideName));
  }

  /** Deletes the run that it replaces: this one has done something. */
  dropReplaced(): void {
    this.requireLock();
    guarded(this.path, () => {
      dropAside(this.path);
    });
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

  /** Lets other processes write the run. One that it replaced is deleted, unless it was discarded. */
  release(): void {
    if (this.#lock === undefined) return;
    try {
      if (this.#replaces) dropAside(this.path);
    } catch {
      // It takes room, and nothing else: the next run in its place deletes it.
    }
    this.#replaces = false;
    this.#lock.release();
  }

  /**
   * Takes back what `create` made: nothing is left of the run, nor of folders that were missing before and hold nothing else. A run
   * that it replaced is there again. Of a run that was opened everything stays.
   */
  discard(): void {
    const made = this.#made;
    if (made === undefined) return;
    this.requireLock();
    // Once: what is there afterwards is another run.
    this.#made = undefined;
    this.#replaces = false;
    deleteRun(this.path);
    bringBack(this.path);
    this.release();
    removeEmptyFolders(made);
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

/** Runs `body`; an error of the system becomes one that names the folder. */
function guarded<T>(folder: string, body: () => T): T {
  try {
    return body();
  } catch (error) {
    if (error instanceof RunFolderError) throw error;
    if (error instanceof LockedError) throw lockedFolder(error);
    throw new RunFolderError(folder, `cannot write ${folder}: ${systemReason(error)}`, {
      cause: error,
      isUsage: isWrongName(error),
    });
  }
}
