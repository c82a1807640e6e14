/**
 * One large file over a connection that may break, from whoever has it: a server of plain files (http-file.ts) or the hub.
 *
 * What it promises:
 * - The file has its name only when all of it is there and right. Until then it lies in a .part file beside it, flushed to the
 *   disk. A file that is there already and has the right size and checksum is not asked for again; another one is replaced.
 * - What has come is kept, whatever ends the download: a broken or silent connection, a full disk, a signal, a kill. The next
 *   attempt, of this process or a later one, asks for the rest.
 * - What came of another content is never part of the file. Where the checksum is known it decides: a resumed file that fails it
 *   is downloaded once more from the start, and one that came whole is refused and deleted. Where none is known, the part is kept
 *   under the server's version of the file, and only the rest of that version is asked for; without a version nothing is resumed.
 * - A size that is known is compared with the server's, and more bytes than it are never written.
 * - Attempts that bring nothing are repeated after a wait that doubles, up to a number; any byte starts the count anew. An answer
 *   that stays the same (no such file, no permission, a full disk) ends it at once. A connection that is silent for too long
 *   counts as broken.
 * - Processes that want the same file download it once: the others wait, and say so.
 * - What a callback of the caller throws ends the download, and is thrown as it is.
 * - Every other failure is a DownloadError that says what was asked for, what came and what to do. One that a signal caused has the
 *   signal's reason as its cause.
 */
import { createHash } from 'node:crypto';
import { type Stats, closeSync, existsSync, fsyncSync, ftruncateSync, openSync } from 'node:fs';
import { readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { systemReason, writeFully } from '@mamba-prune/libtorch/files';
import { checksOf } from '../checks.js';
import { innermostReasonOf } from '../errors.js';
import { plural } from '../format.js';
import type { OptionKinds } from '../option-checks.js';
import { Attempt } from './attempt.js';
import { CallbackError, callingBack } from './callbacks.js';
import { type Checksum, checksumOfFile, checksumText, describeChecksum } from './checksum.js';
import { makeFolder } from './folder.js';
import { usualStallMs } from './stall-limit.js';
import { takeTurn } from './turn.js';

/** A file that somebody else has. Its size or its checksum is known, or nobody could tell whether all of it came. */
export interface RemoteFile {
  /** What errors call it, which stands in front: its address, or a repository and a path. */
  readonly name: string;
  /** What notes call it: the last part of its path. */
  readonly label: string;
  /** How to do without the downloader, as part of a sentence: `download it by hand to data/x.tar`. */
  readonly byHand: string;
  /** In bytes. */
  readonly size?: number | undefined;
  readonly checksum?: Checksum | undefined;
  /** What the server calls this content of the file: an ETag, or when it was changed. */
  readonly version?: string | undefined;
  /**
   * The content from a byte on, or from one before it.
   * @param signal - ends the request and what it sends
   * @throws DownloadError, or what `isFinal` knows, where asking again gets the same answer; anything else is tried again
   */
  open(from: number, signal: AbortSignal): Promise<Content>;
  isFinal?(error: unknown): boolean;
}

export interface Content {
  /** The byte of the file that it begins with: at most the one that was asked for. */
  readonly from: number;
  /** Size of the whole file, if the server says it. */
  readonly total: number | undefined;
  readonly bytes: AsyncIterable<Uint8Array>;
}

/** A content of no bytes. */
// eslint-disable-next-line @typescript-eslint/require-await -- the others wait
export async function* nothing(): AsyncGenerator<Uint8Array> {
  yield* [];
}

export interface DownloadProgress {
  /** Bytes on disk so far, those of earlier attempts included. */
  readonly received: number;
  /** Size of the whole file, if the server says it. */
  readonly total: number | undefined;
}

export interface DownloadOptions {
  readonly onProgress?: ((progress: DownloadProgress) => void) | undefined;
  readonly onNote?: ((note: string) => void) | undefined;
  /** In place of Node's own. */
  readonly fetch?: typeof fetch | undefined;
  /** Attempts in a row that bring no new bytes before giving up; default 5. */
  readonly retries?: number | undefined;
  /** Wait before the second attempt, doubled for each further one up to 30 seconds; default 1000. */
  readonly retryDelayMs?: number | undefined;
  /** A connection that brings nothing for so long is broken; default 30000. */
  readonly stallMs?: number | undefined;
  /** Stops the download; what has come stays in the .part file. */
  readonly signal?: AbortSignal | undefined;
}

/** For those whose options are these among others. */
export const downloadKinds: OptionKinds<DownloadOptions> = {
  onProgress: 'function',
  onNote: 'function',
  fetch: 'function',
  retries: 'number',
  retryDelayMs: 'number',
  stallMs: 'number',
  signal: 'object',
};

/** @throws UsageError for numbers that no download can go by */
export function checkDownload(where: string, options: DownloadOptions): void {
  const { integer, number } = checksOf(where);
  const { retries, retryDelayMs, stallMs } = options;
  if (retries !== undefined) integer('retries', retries, { min: 0 });
  if (retryDelayMs !== undefined) number('retryDelayMs', retryDelayMs, { min: 0 });
  if (stallMs !== undefined) integer('stallMs', stallMs, { min: 1, max: longestTimer });
}

/** A file cannot be had; the message says why, and what to do. */
export class DownloadError extends Error {
  override readonly name = 'DownloadError';

  /** What the server answered, if that is the reason. */
  readonly status: number | undefined;

  constructor(message: string, { status, ...options }: { status?: number; cause?: unknown } = {}) {
    super(message, options);
    this.status = status;
  }
}

/** What a timer of Node.js can count to, in ms. */
const longestTimer = 2 ** 31 - 1;

/** Waits grow no longer, in ms. */
const longestDelay = 30_000;

/**
 * Brings a file to a path, unless it is there already, as this module promises it.
 * @param target - where to; its folder is made if it is missing
 * @throws DownloadError; what `remote.isFinal` knows; what a callback throws
 */
export const download = (
  remote: RemoteFile,
  target: string,
  options: DownloadOptions = {},
): Promise<void> => callingBack(options, (guarded) => bring(remote, target, guarded));

async function bring(remote: RemoteFile, target: string, options: DownloadOptions): Promise<void> {
  if (await isThere(remote, target)) return;
  const part = partOf(remote, target);
  const lock = await lockFor(remote, target, options);
  try {
    if (await isThere(remote, target)) return;
    if (existsSync(target)) options.onNote?.(`${target} is not as expected; downloaded again.`);
    await receiveChecked(remote, part, options);
    onDisk(target, () => {
      renameSync(part, target);
    });
    if (remote.version !== undefined) removeOtherVersions(target);
  } finally {
    lock.release();
  }
}

async function isThere({ size, checksum }: RemoteFile, target: string): Promise<boolean> {
  const there = regular(target);
  if (there === undefined || (size !== undefined && there.size !== size)) return false;
  return checksum === undefined || (await hasChecksum(target, checksum)) === undefined;
}

/** @throws DownloadError for something else than a file */
function regular(path: string): Stats | undefined {
  const there = onDisk(path, () => statSync(path, { throwIfNoEntry: false }));
  if (there?.isFile() === false) throw new DownloadError(`${path} is no regular file. Delete it.`);
  return there;
}

/** @returns the other checksum that a file has; undefined if it is right */
async function hasChecksum(path: string, checksum: Checksum): Promise<Checksum | undefined> {
  const got = await checksumOfFile(path, checksum.kind);
  return got.value === checksum.value ? undefined : got;
}

/** A part of another version has another name. */
const partOf = ({ version }: RemoteFile, target: string): string =>
  version === undefined
    ? `${target}.part`
    : `${target}.${createHash('sha256').update(version).digest('hex').slice(0, 8)}.part`;

/** What came of versions that there are no more. */
function removeOtherVersions(target: string): void {
  const folder = dirname(target);
  const start = `${basename(target)}.`;
  for (const name of readdirSync(folder)) {
    if (!name.startsWith(start) || !/^[0-9a-f]{8}\.part$/.test(name.slice(start.length))) continue;
    rmSync(join(folder, name), { force: true });
  }
}

async function lockFor(
  remote: RemoteFile,
  target: string,
  options: DownloadOptions,
): Promise<{ release: () => void }> {
  try {
    makeFolder(dirname(target));
    return await takeTurn(target, options);
  } catch (error) {
    if (error instanceof CallbackError) throw error;
    if (options.signal?.aborted === true) {
      throw stopped(remote, partOf(remote, target), options.signal);
    }
    throw unwritable(target, error);
  }
}

async function receiveChecked(
  remote: RemoteFile,
  part: string,
  options: DownloadOptions,
): Promise<void> {
  const { checksum, name, label, byHand } = remote;
  for (;;) {
    const resumed = sizeOf(part) > 0;
    await receiveAll(remote, part, options);
    const wrong = checksum && (await hasChecksum(part, checksum));
    if (!checksum || !wrong) return;
    rmSync(part, { force: true });
    if (!resumed) {
      throw new DownloadError(
        `${name}: got ${describeChecksum(wrong)}, expected ${checksumText(checksum)}. The server sends another file, or ` +
          `something on the way changes it (a proxy or a login page?): ${byHand}.`,
      );
    }
    // What was there before may have been of another file: one whole download decides.
    options.onNote?.(`${label}: its checksum is wrong after resuming; downloaded again.`);
  }
}

/** Attempts until the whole file is there. */
async function receiveAll(
  remote: RemoteFile,
  part: string,
  options: DownloadOptions,
): Promise<void> {
  const { retries = 5, retryDelayMs = 1000, signal, onNote } = options;
  for (let failures = 0; ;) {
    const before = sizeOf(part);
    try {
      if (await receive(remote, part, options)) return;
      throw new Error('the connection closed early');
    } catch (error) {
      if (error instanceof CallbackError) throw error;
      if (signal?.aborted === true) throw stopped(remote, part, signal);
      if (error instanceof DownloadError || remote.isFinal?.(error) === true) throw error;
      const size = sizeOf(part);
      failures = size > before ? 1 : failures + 1;
      if (failures > retries) {
        const whole = remote.size === undefined ? '' : ` of ${remote.size}`;
        throw new DownloadError(
          `${remote.name} broke off after ${size}${whole} bytes with no success in ${plural(failures, 'attempt')} ` +
            `(${innermostReasonOf(error)}). Is there a network? The same command goes on from there later, or ${remote.byHand}.`,
          { cause: error },
        );
      }
      onNote?.(`${remote.label}: ${innermostReasonOf(error)}; trying again after ${size} bytes.`);
      await pause(Math.min(retryDelayMs * 2 ** (failures - 1), longestDelay), signal);
    }
  }
}

/** Waits, but not longer than until the download is stopped (which the next attempt then reports). */
async function pause(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  await sleep(milliseconds, undefined, signal ? { signal } : {}).catch(() => undefined);
}

/** One attempt: appends what comes. @returns whether the file is now whole, as far as anybody says */
async function receive(
  remote: RemoteFile,
  part: string,
  { onProgress, signal, stallMs = usualStallMs }: DownloadOptions,
): Promise<boolean> {
  let received = readyPart(remote, part);
  if (received === remote.size && existsSync(part)) return true;
  const attempt = new Attempt(stallMs, signal);
  let file: number | undefined;
  try {
    // There is no range of nothing to ask for.
    const content =
      remote.size === 0
        ? { from: 0, total: 0, bytes: nothing() }
        : await attempt.until(remote.open(received, attempt.signal));
    const total = remote.size ?? content.total;
    if (content.total !== undefined && content.total !== total) {
      throw new DownloadError(
        `${remote.name}: got a file of ${content.total} bytes, expected ${String(total)} as was said before. Try again later.`,
      );
    }
    const fd = onDisk(part, () => openSync(part, 'a'));
    file = fd;
    onProgress?.({ received, total });
    // A server that knows no ranges sends again what is there.
    let known = received - content.from;
    for await (const chunk of attempt.chunks(content.bytes)) {
      const fresh = chunk.subarray(Math.min(known, chunk.length));
      known -= chunk.length - fresh.length;
      if (fresh.length === 0) continue;
      if (total !== undefined && received + fresh.length > total) {
        // Whatever this is, nothing of it is to be gone on from.
        ftruncateSync(fd);
        throw new Error(`more came than the ${total} bytes that the file has`);
      }
      onDisk(part, () => {
        writeFully(fd, fresh);
      });
      received += fresh.length;
      onProgress?.({ received, total });
    }
    return total === undefined || received >= total;
  } finally {
    attempt.end();
    if (file !== undefined) flush(file);
  }
}

function flush(file: number): void {
  try {
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

/** @returns how much of the file is there to go on from */
function readyPart({ size, checksum, version }: RemoteFile, part: string): number {
  const there = regular(part);
  if (there === undefined) return 0;
  const fits = size === undefined || there.size <= size;
  // Nobody could tell whether the rest belongs to it.
  const isKnown = checksum !== undefined || version !== undefined;
  if (fits && isKnown) return there.size;
  onDisk(part, () => {
    rmSync(part);
  });
  return 0;
}

function stopped(remote: RemoteFile, part: string, { reason }: AbortSignal): DownloadError {
  // What a bare `abort()` gives says no more than that.
  const why = reason instanceof Error && reason.name !== 'AbortError' ? ` (${reason.message})` : '';
  return new DownloadError(
    `${remote.name} was stopped${why} after ${sizeOf(part)} bytes. The same command continues there.`,
    { cause: reason },
  );
}

/** What the disk refuses, it refuses with every attempt. */
function onDisk<T>(path: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    throw unwritable(path, error);
  }
}

const unwritable = (path: string, error: unknown): Error =>
  error instanceof DownloadError
    ? error
    : new DownloadError(`${path} cannot be written: ${systemReason(error)}`, { cause: error });

const sizeOf = (path: string): number => statSync(path, { throwIfNoEntry: false })?.size ?? 0;
