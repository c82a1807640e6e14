/**
 * Downloads one large file over a connection that may break: into FILE.part, continued with an HTTP
 * Range request, renamed to FILE only when its checksum is right.
 */
import { closeSync, existsSync, fsyncSync, openSync, renameSync } from 'node:fs';
import { rmSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { writeFully } from '@mamba-prune/libtorch/files';
import { makeFolder } from '../files/folder.js';
import { takeTurn } from '../files/turn.js';
import { checksumOfFile, describeChecksum } from './checksum.js';
import { DataError, reasonOf } from './errors.js';

export interface DownloadProgress {
  /** Bytes on disk so far, those of earlier attempts included. */
  received: number;
  /** Size of the whole file, if the server says it. */
  total: number | undefined;
}

export interface DownloadOptions {
  onProgress?: (progress: DownloadProgress) => void;
  onNote?: (note: string) => void;
  /** Default: Node's own fetch. */
  fetch?: typeof fetch;
  /** Attempts in a row that bring no new bytes before giving up; default 5. */
  retries?: number;
  /** Wait before the second attempt, doubled for each further one; default 1000. */
  retryDelayMs?: number;
  /** A connection that brings nothing for so long is broken; default 30000. */
  stallMs?: number;
  /** Stops the download; what has come stays in the .part file. */
  signal?: AbortSignal;
}

/** A failure that trying again cannot mend. */
class FinalError extends DataError {}

/**
 * Downloads a file, unless it is there already. Processes that want the same one download it once.
 * @param url - http or https
 * @param file - where to; a .part file beside it keeps what has come
 * @param checksum - of the whole file: md5 in hex, or `sha512-` and base64 as npm writes it
 * @throws DataError if the server refuses, the network is gone, or the checksum is wrong
 */
export async function downloadFile(
  url: string,
  file: string,
  checksum: string,
  options: DownloadOptions = {},
): Promise<void> {
  if (await isThere(file, checksum)) return;
  makeFolder(dirname(file));
  const lock = await takeTurn(file, options).catch((error: unknown) => {
    throw options.signal?.aborted === true ? stopped(url, `${file}.part`, error) : error;
  });
  try {
    if (await isThere(file, checksum)) return;
    if (existsSync(file)) options.onNote?.(`${file}: its checksum is wrong; downloaded again.`);
    await fetchChecked(url, file, checksum, options);
  } finally {
    lock.release();
  }
}

const isThere = async (file: string, checksum: string): Promise<boolean> =>
  existsSync(file) && (await checksumOfFile(file, checksum)) === checksum;

async function fetchChecked(
  url: string,
  file: string,
  checksum: string,
  options: DownloadOptions,
): Promise<void> {
  const part = `${file}.part`;
  for (;;) {
    const resumed = sizeOf(part) > 0;
    await fetchAll(url, part, options);
    const got = await checksumOfFile(part, checksum);
    if (got === checksum) break;
    rmSync(part, { force: true });
    if (!resumed) {
      throw new DataError(
        `download: ${url}: got ${describeChecksum(got)}, expected ${checksum}. The server sends another file ` +
          `(a proxy or a login page?). Download it by hand to ${file}.`,
        { file },
      );
    }
    // The old .part may have been of another file: one whole download decides.
    options.onNote?.(`${part}: its checksum is wrong after resuming; downloaded from the start.`);
  }
  renameSync(part, file);
}

const stopped = (url: string, part: string, cause: unknown): DataError =>
  new DataError(
    `download: ${url}: stopped after ${sizeOf(part)} bytes. The same command continues there.`,
    { cause, file: part },
  );

/** Attempts until the whole file is there. */
async function fetchAll(url: string, part: string, options: DownloadOptions): Promise<void> {
  const retries = options.retries ?? 5;
  let delay = options.retryDelayMs ?? 1000;
  for (let failures = 0; ;) {
    const before = sizeOf(part);
    try {
      if (await fetchOnce(url, part, options)) return;
      throw new Error('the connection closed early');
    } catch (error) {
      if (error instanceof FinalError) throw error;
      if (options.signal?.aborted) throw stopped(url, part, error);
      failures = sizeOf(part) > before ? 1 : failures + 1;
      if (failures > retries) {
        throw new DataError(
          `download: ${url}: no success in ${failures} attempts (${reasonOf(error)}). ` +
            'Is there a network? The same command continues later, or download the file by hand ' +
            `to ${part.slice(0, -'.part'.length)}.`,
          { cause: error, file: part },
        );
      }
      options.onNote?.(`download: ${reasonOf(error)}; trying again after ${sizeOf(part)} bytes.`);
      await pause(delay, options.signal);
      delay = Math.min(delay * 2, 30_000);
    }
  }
}

/** Waits, but not longer than until the download is stopped (which the next attempt then reports). */
async function pause(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  await sleep(milliseconds, undefined, signal ? { signal } : {}).catch(() => undefined);
}

/** One request. @returns whether the file is now whole, as far as the server says */
async function fetchOnce(url: string, part: string, options: DownloadOptions): Promise<boolean> {
  const stallMs = options.stallMs ?? 30_000;
  const stall = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const alive = () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      stall.abort(new Error(`nothing received for ${stallMs} ms`));
    }, stallMs);
  };
  const signal = AbortSignal.any([stall.signal, ...(options.signal ? [options.signal] : [])]);
  alive();
  try {
    const have = sizeOf(part);
    const headers: Record<string, string> = have > 0 ? { Range: `bytes=${have}-` } : {};
    const response = await (options.fetch ?? fetch)(url, { headers, signal });
    const { start, total } = placeOf(response, have);
    if (response.status === 416) {
      await response.body?.cancel();
      // Asked beyond the end: either all is there already, or the .part belongs to another file.
      if (total === have) return true;
      rmSync(part, { force: true });
      return false;
    }
    if (response.status !== 200 && response.status !== 206) {
      await response.body?.cancel();
      const text = `download: ${url}: got HTTP status ${response.status}, expected 200.`;
      // Too many requests and server trouble pass; the rest of 4xx and odd answers do not.
      if (response.status === 429 || response.status >= 500) throw new DataError(text);
      throw new FinalError(`${text} Has the file moved? Download it by hand to the data folder.`);
    }
    if (statSync(part, { throwIfNoEntry: false })?.isFile() === false) {
      throw new FinalError(`download: ${part} is no regular file. Delete it.`);
    }
    const file = openSync(part, start > 0 ? 'a' : 'w');
    let received = start;
    try {
      options.onProgress?.({ received, total });
      if (response.body) {
        for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
          alive();
          writeFully(file, chunk);
          received += chunk.length;
          options.onProgress?.({ received, total });
        }
      }
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    return total === undefined || received >= total;
  } finally {
    clearTimeout(timer);
  }
}

/** Where the body starts in the file, and the file's size. A server may ignore Range (status 200). */
function placeOf(response: Response, have: number): { start: number; total: number | undefined } {
  const range = /^bytes (?:(\d+)-\d+|\*)\/(\d+|\*)$/.exec(
    response.headers.get('content-range') ?? '',
  );
  if (response.status === 206 || response.status === 416) {
    const total = range?.[2] !== undefined && range[2] !== '*' ? Number(range[2]) : undefined;
    if (response.status === 206 && Number(range?.[1]) !== have) {
      throw new FinalError(
        `download: ${response.url}: asked for bytes from ${have}, got Content-Range ` +
          `"${response.headers.get('content-range') ?? ''}". Delete the .part file and try again.`,
      );
    }
    return { start: have, total };
  }
  const length = response.headers.get('content-length');
  // With a content coding the length is that of the coded bytes, which fetch has undone.
  const plain = response.headers.get('content-encoding') === null;
  return { start: 0, total: length !== null && plain ? Number(length) : undefined };
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}
