// Atomic file writing: a reader sees the old file or the new one, never a part.
//
// The data goes to a temporary file in the same directory (rename is atomic only within one file
// system), is flushed to the disk, and takes the target's name; flushing the directory makes the new
// name survive a power cut. Everything is synchronous: a checkpoint is written in one go, and an
// interrupted process must not have half of its promises settled.
import { createHash, randomBytes } from 'node:crypto';
import {
  type Stats,
  closeSync,
  fchmodSync,
  fsyncSync,
  openSync,
  readdirSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { hostname } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { systemReason } from './reason.js';

/** One write call takes less than 2 GiB on Linux; smaller pieces cost nothing. */
const writeChunk = 64 * 1024 * 1024;

/**
 * Writes a whole file atomically, replacing what was there and keeping its permissions. A symbolic
 * link is followed: the file it points to is replaced. Temporary files that killed processes of this
 * machine left for the same target are removed. Only regular files are replaced: renaming over a device
 * such as /dev/null would take it away from every program of the machine.
 *
 * @param path - the file to write; its directory must exist
 * @param data - the content, or a function that writes it to the descriptor it is given (which stays
 *   ours to close); whatever it throws leaves the old file as it was
 * @throws the error of the writer, or one with the system's `code` (ENOENT, ENOSPC, EACCES, ...) and
 *   the reason in words; no temporary file stays
 */
export function writeFileAtomic(
  path: string,
  data: string | Uint8Array | ((fd: number) => void),
): void {
  const target = resolveLink(path);
  checkReplaceable(target, path);
  const directory = dirname(target);
  const tag = temporaryTag(target);
  removeStale(directory, tag);

  const temporary = join(
    directory,
    `.${basename(target).slice(0, 40)}.${tag}-${process.pid}-${randomBytes(6).toString('hex')}.tmp`,
  );
  const fd = openTemporary(temporary, path);
  try {
    try {
      const mode = modeOf(target);
      if (mode !== undefined) fchmodSync(fd, mode);
      if (typeof data === 'function') data(fd);
      else writeFully(fd, typeof data === 'string' ? Buffer.from(data) : data);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(temporary, target);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw isOfSystem(error) ? cannotWrite(path, error) : error;
  }
  syncDirectory(directory);
}

/**
 * Writes all bytes at the descriptor's position, in pieces, whatever a single call takes.
 * @throws the system's error; some of the bytes may have been written then
 */
export function writeFully(fd: number, bytes: Uint8Array): void {
  let done = 0;
  while (done < bytes.byteLength) {
    done += writeSync(fd, bytes, done, Math.min(writeChunk, bytes.byteLength - done));
  }
}

/** Where a link leads, so that `latest -> run-7/model` stays a link. */
function resolveLink(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path; // Not there yet, or a dangling link, which is replaced.
  }
}

/** @throws an error with the code of what is in the way, unless there is a regular file or nothing */
function checkReplaceable(target: string, path: string): void {
  let found: Stats | undefined;
  try {
    found = statSync(target, { throwIfNoEntry: false });
  } catch (error) {
    throw cannotWrite(path, error);
  }
  if (found === undefined || found.isFile()) return;
  const code = found.isDirectory() ? 'EISDIR' : 'EEXIST';
  const reason = found.isDirectory()
    ? systemReason(Object.assign(new Error(), { code }))
    : 'it is a device or pipe, expected a regular file. Give the name of a file.';
  throw Object.assign(new Error(`writeFileAtomic: cannot write "${path}": ${reason}`), { code });
}

function openTemporary(temporary: string, path: string): number {
  try {
    return openSync(temporary, 'wx');
  } catch (error) {
    throw cannotWrite(path, error);
  }
}

const isOfSystem = (error: unknown): boolean =>
  error instanceof Error && 'syscall' in error && 'code' in error;

/** The system's message names the temporary file, which nobody asked for. */
function cannotWrite(path: string, error: unknown): NodeJS.ErrnoException {
  const { code } = error as NodeJS.ErrnoException;
  const reason =
    code === 'ENOENT' ? 'ENOENT. Its directory must exist and be writable.' : systemReason(error);
  const wrapped: NodeJS.ErrnoException = new Error(
    `writeFileAtomic: cannot write "${path}": ${reason}`,
    { cause: error },
  );
  if (code !== undefined) wrapped.code = code;
  return wrapped;
}

function modeOf(target: string): number | undefined {
  const found = statSync(target, { throwIfNoEntry: false });
  return found === undefined ? undefined : found.mode & 0o7777;
}

/**
 * Marks the temporary files of one target on one machine. The host is part of it because a process
 * id says nothing about another machine's processes on a shared disk.
 */
function temporaryTag(target: string): string {
  return createHash('sha256')
    .update(`${hostname()}\0${basename(target)}`)
    .digest('hex')
    .slice(0, 12);
}

function removeStale(directory: string, tag: string): void {
  let names: string[];
  try {
    names = readdirSync(directory);
  } catch {
    return; // Opening the temporary file reports the reason.
  }
  const pattern = new RegExp(`\\.${tag}-(\\d+)-[0-9a-f]+\\.tmp$`);
  for (const name of names) {
    const pid = Number(pattern.exec(name)?.[1] ?? NaN);
    if (Number.isNaN(pid)) continue;
    const file = join(directory, name);
    if (!isStale(pid, file)) continue;
    try {
      rmSync(file, { force: true });
    } catch {
      // Tidying up must not fail a write.
    }
  }
}

function isStale(pid: number, file: string): boolean {
  if (pid === process.pid) {
    // A container's processes get the same id after every restart: a file older than this process
    // cannot be its own. (Worker threads share the id and the start.)
    const written = statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? Infinity;
    return written < Date.now() - process.uptime() * 1000 - 1000;
  }
  try {
    process.kill(pid, 0); // Signal 0 only asks whether the process exists.
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH';
  }
}

function syncDirectory(directory: string): void {
  let fd: number | undefined;
  try {
    fd = openSync(directory, 'r');
    fsyncSync(fd);
  } catch {
    // Windows and some network file systems cannot flush a directory; the file is complete anyway.
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}
