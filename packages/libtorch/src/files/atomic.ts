/**
 * Atomic file writing: a reader sees the old file or the new one, never a part.
 *
 * The data goes to a temporary file in the same directory (rename is atomic only within one file
 * system), is flushed to the disk, and takes the target's name; flushing the directory makes the new
 * name survive a power cut. Everything is synchronous: a checkpoint is written in one go, and an
 * interrupted process must not have half of its promises settled.
 */
import { createHash, randomBytes } from 'node:crypto';
import {
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

/** One write call takes less than 2 GiB on Linux; smaller pieces cost nothing. */
const WRITE_CHUNK = 64 * 1024 * 1024;

/**
 * Writes a whole file atomically, replacing what was there and keeping its permissions. A symbolic
 * link is followed: the file it points to is replaced. Temporary files that killed processes of this
 * machine left for the same target are removed.
 *
 * @param path - the file to write; its directory must exist
 * @param data - the content, or a function that writes it to the descriptor it is given (which stays
 *   ours to close); whatever it throws leaves the old file as it was
 * @throws the error of the writer, or the system's (ENOENT, ENOSPC, EACCES, ...); no temporary file stays
 */
export function writeFileAtomic(
  path: string,
  data: string | Uint8Array | ((fd: number) => void),
): void {
  const target = resolveLink(path);
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
    throw error;
  }
  syncDirectory(directory);
}

/** Writes all bytes at the descriptor's position, in pieces, whatever a single call takes. */
export function writeFully(fd: number, bytes: Uint8Array): void {
  let done = 0;
  while (done < bytes.byteLength) {
    done += writeSync(fd, bytes, done, Math.min(WRITE_CHUNK, bytes.byteLength - done));
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

function openTemporary(temporary: string, path: string): number {
  try {
    return openSync(temporary, 'wx');
  } catch (error) {
    const reason = error as NodeJS.ErrnoException;
    // The system's message names the temporary file, which nobody asked for.
    const wrapped: NodeJS.ErrnoException = new Error(
      `writeFileAtomic: cannot write "${path}": ${reason.code ?? reason.message}. ` +
        'Its directory must exist and be writable.',
      { cause: error },
    );
    if (reason.code !== undefined) wrapped.code = reason.code;
    throw wrapped;
  }
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
