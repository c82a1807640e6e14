/** Positional reads that never come back short. */
import { constants } from 'node:buffer';
import { fstatSync, openSync, readSync, statSync } from 'node:fs';
import { FormatError } from '../errors.js';

/** One read call takes less than 2 GiB; pieces of this size keep the system calls few. */
const READ_CHUNK = 256 * 1024 * 1024;

/**
 * Opens a file for reading. Asked for before opening, because opening a named pipe would wait for ever.
 *
 * @param where - start of the message, `loadX "file"`
 * @throws FormatError if it is a folder, a pipe or a device; the system's error if it cannot be opened
 */
export function openRegularFile(path: string, where: string): { fd: number; size: number } {
  const stat = statSync(path);
  if (!stat.isFile()) {
    throw new FormatError(
      `${where}: got a ${stat.isDirectory() ? 'folder' : 'special file'}, expected a regular file.`,
    );
  }
  const fd = openSync(path, 'r');
  // Of the file that is open now: between the two calls another process may have replaced the name.
  return { fd, size: fstatSync(fd).size };
}

/**
 * Reads exactly `length` bytes from `position` of an open file, into memory of their own.
 *
 * @param what - names the file and what is read, for messages: `loadX "file"`
 * @throws FormatError if the file ends before, or if one buffer of this Node.js cannot hold so much
 */
export function readExactly(
  fd: number,
  position: number,
  length: number,
  what: string,
): Uint8Array<ArrayBuffer> {
  if (length > constants.MAX_LENGTH) {
    throw new FormatError(
      `${what}: got ${length} bytes in one piece, expected at most ${constants.MAX_LENGTH} ` +
        `(the largest buffer of Node.js ${process.version}). Use a newer Node.js, or split the tensor.`,
    );
  }
  const bytes = new Uint8Array(length);
  let done = 0;
  while (done < length) {
    const got = readSync(fd, bytes, done, Math.min(READ_CHUNK, length - done), position + done);
    if (got === 0) {
      throw new FormatError(
        `${what}: the file ended after ${done} of ${length} bytes at position ${position}. ` +
          'It was cut short while it was read; copy it again.',
      );
    }
    done += got;
  }
  return bytes;
}
