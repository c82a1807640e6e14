/** One file of the hub into the cache: continued where it broke off, checked, and only then given its name. */
import { createHash } from 'node:crypto';
import { createReadStream, existsSync, renameSync, rmSync, statSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { HubApiError, downloadFile } from '@huggingface/hub';
import { makeFolder } from '../files/folder.js';
import { FileLock, LockedError } from '../files/lock.js';
import { HubError, reasonOf } from './errors.js';

/** A file as the hub lists it. */
export interface HubFile {
  readonly path: string;
  readonly size: number;
  /** Large files (LFS) have the sha256 of the content, others git's sha1 of size and content. */
  readonly digest: { readonly kind: 'sha256' | 'git'; readonly hex: string };
}

export interface HubSource {
  readonly repo: string;
  readonly commit: string;
  readonly endpoint: string;
  readonly token: string | undefined;
  readonly fetch: typeof fetch;
}

export interface DownloadProgress {
  /** Bytes on the disk, those of earlier attempts included. */
  readonly received: number;
  readonly total: number;
}

export interface DownloadOptions {
  readonly onProgress?: ((progress: DownloadProgress) => void) | undefined;
  readonly onNote?: ((note: string) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Attempts in a row that bring nothing before giving up; default 4. */
  readonly retries?: number | undefined;
  /** Before the second attempt, doubled for each further one; default 1000. */
  readonly retryDelayMs?: number | undefined;
}

/**
 * @param target - where to; `target`.part beside it keeps what has come
 * @throws HubError if the network stays away or the content is not what the hub lists; HubApiError if
 *   it refuses
 */
export async function downloadToFile(
  source: HubSource,
  file: HubFile,
  target: string,
  options: DownloadOptions = {},
): Promise<void> {
  makeFolder(dirname(target));
  const lock = await takeTurn(target, options);
  try {
    if (existsSync(target)) return;
    const part = `${target}.part`;
    for (;;) {
      const resumed = sizeOf(part) > 0;
      await receiveAll(source, file, part, options);
      const digest = await digestOf(part, file);
      if (digest === file.digest.hex) break;
      rmSync(part, { force: true });
      if (!resumed) {
        throw new HubError(
          `${source.repo}: ${file.path} came with the checksum ${digest}, expected ${file.digest.hex}. ` +
            'Something between here and the hub changes files (a proxy?). Download it by hand and give its path.',
        );
      }
      // What was there before may have been spoilt: one whole download decides.
      options.onNote?.(`${file.path}: its checksum is wrong after resuming; downloaded again.`);
    }
    renameSync(part, target);
  } finally {
    lock.release();
  }
}

/** Two processes that want the same file download it once. */
async function takeTurn(target: string, { signal, onNote }: DownloadOptions): Promise<FileLock> {
  for (let waited = false; ; waited = true) {
    try {
      return FileLock.acquire(`${target}.lock`, target);
    } catch (error) {
      if (!(error instanceof LockedError)) throw error;
      if (!waited) onNote?.('Another process downloads the same file; waiting for it.');
    }
    await sleep(200, undefined, signal ? { signal } : {});
  }
}

async function receiveAll(
  source: HubSource,
  file: HubFile,
  part: string,
  options: DownloadOptions,
): Promise<void> {
  const { retries = 4, onNote, signal } = options;
  let delay = options.retryDelayMs ?? 1000;
  for (let failures = 0; sizeOf(part) !== file.size || !existsSync(part);) {
    const before = sizeOf(part);
    try {
      await receive(source, file, part, options);
    } catch (error) {
      signal?.throwIfAborted();
      // The hub said no: asking again gets the same answer, but for haste and troubles of its own.
      if (error instanceof HubApiError && error.statusCode < 500 && error.statusCode !== 429)
        throw error;
      if (error instanceof HubError) throw error;
      failures = sizeOf(part) > before ? 1 : failures + 1;
      const size = sizeOf(part);
      if (failures > retries) {
        throw new HubError(
          `${source.repo}: ${file.path} broke off after ${size} of ${file.size} bytes (${reasonOf(error)}), ` +
            `${failures} times without progress. The same command goes on from there.`,
          { cause: error },
        );
      }
      onNote?.(`${file.path}: ${reasonOf(error)}; going on after ${size} bytes.`);
      await sleep(delay, undefined, signal ? { signal } : {});
      delay = Math.min(2 * delay, 30_000);
    }
  }
}

/** One attempt: appends what comes. */
async function receive(
  { repo, commit, endpoint, token, fetch }: HubSource,
  file: HubFile,
  part: string,
  { onProgress, signal }: DownloadOptions,
): Promise<void> {
  const there = statSync(part, { throwIfNoEntry: false });
  if (there && (!there.isFile() || there.size > file.size)) rmSync(part);
  const blob = await downloadFile({
    repo,
    path: file.path,
    revision: commit,
    hubUrl: endpoint,
    fetch,
    ...(token !== undefined && { accessToken: token }),
  });
  if (blob?.size !== file.size) {
    throw new HubError(
      `${repo}: ${file.path} is listed with ${file.size} bytes, but the hub offers ` +
        `${blob ? `${blob.size} bytes` : 'no such file'}. Try again later.`,
    );
  }
  let received = sizeOf(part);
  const target = await open(part, 'a');
  try {
    onProgress?.({ received, total: file.size });
    // A slice of everything asks for the whole file; others for a range.
    for await (const chunk of blob.slice(received).stream() as AsyncIterable<Uint8Array>) {
      signal?.throwIfAborted();
      await target.writeFile(chunk);
      received += chunk.length;
      onProgress?.({ received, total: file.size });
    }
    await target.sync();
  } finally {
    await target.close();
  }
  if (received < file.size) throw new Error('the connection closed early');
}

async function digestOf(path: string, { digest, size }: HubFile): Promise<string> {
  const hash = createHash(digest.kind === 'git' ? 'sha1' : 'sha256');
  if (digest.kind === 'git') hash.update(`blob ${size}\0`);
  if (!statSync(path).isFile()) throw new HubError(`${path}: expected a regular file. Delete it.`);
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest('hex');
}

const sizeOf = (path: string): number => statSync(path, { throwIfNoEntry: false })?.size ?? 0;
