/** metrics.jsonl: one JSON object a line, on the disk before anything that relies on it. */
import { readTextFile, writeFully } from '@mamba-prune/libtorch/files';
import { closeSync, fstatSync, fsyncSync, ftruncateSync, openSync, statSync } from 'node:fs';
import { RunFolderError } from './errors.js';
import type { EpochMetrics, StepMetrics } from './metrics-lines.js';

export type MetricsLine = EpochMetrics | StepMetrics;

/** Appends lines. Its length is stored in checkpoints, so that a resumed run cuts off what came later. */
export class MetricsLog {
  readonly path: string;
  #fd: number | undefined;
  #bytes: number;

  /**
   * @param keepBytes - length that the checkpoint knew; what comes after is cut off
   * @throws RunFolderError if the file is shorter than that, or cannot be opened
   */
  constructor(path: string, keepBytes: number) {
    this.path = path;
    this.#bytes = keepBytes;
    let fd: number;
    try {
      // A named pipe would make the process wait for somebody who reads it.
      if (statSync(path, { throwIfNoEntry: false })?.isFile() === false) {
        throw new Error('it is no regular file');
      }
      fd = openSync(path, 'a');
    } catch (error) {
      throw unwritable(path, error);
    }
    try {
      const { size } = fstatSync(fd);
      if (size < keepBytes) {
        throw new RunFolderError(
          path,
          `${path} has ${size} bytes, expected at least the ${keepBytes} of its checkpoint. ` +
            'Put the file back, or start a new run.',
        );
      }
      if (size > keepBytes) ftruncateSync(fd, keepBytes);
    } catch (error) {
      closeSync(fd);
      throw error instanceof RunFolderError ? error : unwritable(path, error);
    }
    this.#fd = fd;
  }

  /** Bytes written so far. */
  get bytes(): number {
    return this.#bytes;
  }

  /** @param durable - wait until it is on the disk; default true */
  append(line: MetricsLine, durable = true): void {
    if (this.#fd === undefined) return;
    const bytes = Buffer.from(`${JSON.stringify(line)}\n`);
    try {
      writeFully(this.#fd, bytes);
    } catch (error) {
      // Half a line helps nobody.
      ftruncateSync(this.#fd, this.#bytes);
      throw unwritable(this.path, error);
    }
    this.#bytes += bytes.length;
    if (durable) this.sync();
  }

  sync(): void {
    if (this.#fd === undefined) return;
    try {
      fsyncSync(this.#fd);
    } catch (error) {
      throw unwritable(this.path, error);
    }
  }

  close(): void {
    if (this.#fd === undefined) return;
    closeSync(this.#fd);
    this.#fd = undefined;
  }
}

/**
 * The lines of a metrics file; a last line without an end, which a running or killed process may
 * leave, is left out. An empty list if there is no file.
 * @throws RunFolderError if another line is no JSON, or none of a training; FormatError if the file is no
 *   regular one
 */
export function readMetricsFile(path: string): MetricsLine[] {
  return linesOf(path).map((line, i) => parsed(path, line, i + 1));
}

/** Texts without their ends. */
function linesOf(path: string): string[] {
  try {
    return readTextFile(path).split('\n').slice(0, -1);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

function parsed(path: string, line: string, place: number): MetricsLine {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (error) {
    throw new RunFolderError(
      path,
      `readMetrics: line ${place} of ${path} is no JSON: ${(error as Error).message}. Remove it.`,
      { cause: error },
    );
  }
  if (isMetricsLine(value)) return value;
  throw new RunFolderError(
    path,
    `readMetrics: line ${place} of ${path} is no line of a training, expected an object with type, phase, ` +
      'epoch, step, loss and lr. Remove it.',
  );
}

/** Whether it has what every line has. */
function isMetricsLine(value: unknown): value is MetricsLine {
  if (typeof value !== 'object' || value === null) return false;
  const line = value as Readonly<Record<string, unknown>>;
  return (
    typeof line['type'] === 'string' &&
    typeof line['phase'] === 'string' &&
    ['epoch', 'step', 'loss', 'lr'].every((name) => typeof line[name] === 'number')
  );
}

/** Length of the lines before the first one of a phase, as they are in the file; 0 if there is no file. */
export function bytesBefore(path: string, phase: string): number {
  const lines = linesOf(path);
  const first = lines.findIndex((line, i) => parsed(path, line, i + 1).phase === phase);
  const kept = first < 0 ? lines : lines.slice(0, first);
  return kept.reduce((sum, line) => sum + Buffer.byteLength(line) + 1, 0);
}

function unwritable(path: string, error: unknown): RunFolderError {
  const { code, message } = error as NodeJS.ErrnoException;
  return new RunFolderError(
    path,
    `cannot write ${path}: ${code ?? message}. ` +
      'Free some space or make the folder writable, then resume.',
    { cause: error },
  );
}
