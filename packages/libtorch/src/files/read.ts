// Reading files that may be anything: nothing here waits for a pipe, or comes back short.
import { constants } from 'node:buffer';
import { createHash, type Hash } from 'node:crypto';
import { closeSync, constants as flags, fstatSync, openSync, readSync, statSync } from 'node:fs';
import { FormatError } from '../errors.js';

/** One read call takes less than 2 GiB; pieces of this size keep the system calls few. */
const readChunk = 256 * 1024 * 1024;

/** What hashing takes at a time: crypto takes less than 2 GiB, and smaller pieces stay in the cache. */
const hashChunk = 4 * 1024 * 1024;

/**
 * Opens a file for reading. Asked for before opening, because opening a named pipe would wait for ever.
 *
 * @param where - start of the message, `loadX "file"`
 * @throws FormatError if it is a folder, a pipe or a device; the system's error if it cannot be opened
 */
export function openRegularFile(path: string, where: string): { fd: number; size: number } {
  requireRegular(statSync(path), where);
  // Between the two calls another process may have put a pipe there: without blocking it opens at once.
  const fd = openSync(path, flags.O_RDONLY | flags.O_NONBLOCK);
  try {
    const stat = fstatSync(fd);
    requireRegular(stat, where);
    return { fd, size: stat.size };
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

interface Kind {
  isFile(): boolean;
  isDirectory(): boolean;
  isFIFO(): boolean;
  isSocket(): boolean;
}

/** @throws FormatError unless it is a regular file */
function requireRegular(stat: Kind, where: string): void {
  if (stat.isFile()) return;
  const kind = stat.isDirectory()
    ? 'folder'
    : stat.isFIFO()
      ? 'named pipe'
      : stat.isSocket()
        ? 'socket'
        : 'device';
  throw new FormatError(`${where}: got a ${kind}, expected a regular file.`);
}

export interface ReadFileOptions {
  /** Start of messages. Default: the path. */
  readonly where?: string;
  /** Bytes beyond which a file is not read. Default: what one buffer of Node.js can hold. */
  readonly most?: number;
}

/**
 * A whole file, as `readFileSync` reads it, if it is a regular one.
 *
 * @throws FormatError if it is a folder, a pipe or a device, or larger than `most`; the system's error
 *   if it cannot be opened
 */
export function readRegularFile(
  path: string,
  { where = path, most = constants.MAX_LENGTH }: ReadFileOptions = {},
): Uint8Array<ArrayBuffer> {
  const { fd, size } = openRegularFile(path, where);
  try {
    if (size > most) {
      throw new FormatError(`${where}: got ${size} bytes, expected at most ${most}.`);
    }
    return readExactly(fd, 0, size, where);
  } finally {
    closeSync(fd);
  }
}

/**
 * A whole file of text, if it is a regular one: UTF-8, or UTF-16 where its first two bytes say so. Editors and shells of Windows
 * write both with such a mark, which is no part of the text.
 * @throws as `readRegularFile`
 */
export function readTextFile(path: string, options: ReadFileOptions = {}): string {
  const most = Math.min(options.most ?? Infinity, constants.MAX_STRING_LENGTH);
  const { buffer } = readRegularFile(path, { ...options, most });
  return textOf(Buffer.from(buffer));
}

function textOf(bytes: Buffer): string {
  const mark = bytes.toString('hex', 0, 2);
  if (mark === 'fffe') return bytes.toString('utf16le', 2);
  // The last byte of an odd number is no character.
  if (mark === 'feff')
    return bytes
      .subarray(2, bytes.length & ~1)
      .swap16()
      .toString('utf16le');
  return bytes.toString('utf8', bytes.toString('hex', 0, 3) === 'efbbbf' ? 3 : 0);
}

/**
 * SHA-256 of a file of any size, and how many bytes it has, with little memory.
 * @throws as `readRegularFile`
 */
export function digestFile(path: string): { readonly sha256: string; readonly bytes: number } {
  const { fd, size } = openRegularFile(path, path);
  try {
    const hash = createHash('sha256');
    for (let at = 0; at < size; at += hashChunk) {
      hash.update(readExactly(fd, at, Math.min(hashChunk, size - at), path));
    }
    return { sha256: hash.digest('hex'), bytes: size };
  } finally {
    closeSync(fd);
  }
}

/** `hash.update` for bytes of any number: one call takes less than 2 GiB. */
export function updateHash(hash: Hash, bytes: Uint8Array, chunk = readChunk): void {
  for (let at = 0; at < bytes.byteLength; at += chunk) hash.update(bytes.subarray(at, at + chunk));
}

/**
 * Reads exactly `length` bytes from `position` of an open file, into memory of their own.
 *
 * @param what - names the file and what is read, for messages: `loadX "file"`
 * @param into - where to instead: at least so many bytes, of which the first are given back
 * @throws FormatError if the file ends before, or if one buffer of this Node.js cannot hold so much
 */
export function readExactly(
  fd: number,
  position: number,
  length: number,
  what: string | (() => string),
  into?: Uint8Array<ArrayBuffer>,
): Uint8Array<ArrayBuffer> {
  if (length > constants.MAX_LENGTH) {
    throw new FormatError(
      `${said(what)}: got ${length} bytes in one piece, expected at most ${constants.MAX_LENGTH} ` +
        `(the largest buffer of Node.js ${process.version}). Use a newer Node.js, or split the tensor.`,
    );
  }
  const bytes = into?.subarray(0, length) ?? new Uint8Array(length);
  let done = 0;
  while (done < length) {
    const got = readSync(fd, bytes, done, Math.min(readChunk, length - done), position + done);
    if (got === 0) {
      throw new FormatError(
        `${said(what)}: the file ended after ${done} of ${length} bytes at position ${position}. ` +
          'It was cut short while it was read; copy it again.',
      );
    }
    done += got;
  }
  return bytes;
}

const said = (what: string | (() => string)): string => (typeof what === 'string' ? what : what());
