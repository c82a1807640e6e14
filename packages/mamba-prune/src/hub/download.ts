/** One file into the cache, of the hub or of an address: continued where it broke off, checked, and only then given its name. */
import { createHash } from 'node:crypto';
import { createReadStream, existsSync, renameSync, rmSync, statSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { HubApiError } from '@huggingface/hub';
import { makeFolder } from '../files/folder.js';
import { takeTurn } from '../files/turn.js';
import { HubError, innermostReasonOf } from './errors.js';

export interface RemoteFile {
  readonly path: string;
  readonly size: number;
  /**
   * What the content has to be. On the hub large files (LFS) have the sha256 of the content, others git's sha1 of size and
   * content; undefined where a server tells nothing but the size.
   */
  readonly digest: { readonly kind: 'sha256' | 'git' | 'md5'; readonly hex: string } | undefined;
  /** Where nothing else tells: what came of another version is not continued. A few letters and digits. */
  readonly version?: string;
}

/** Where files come from. */
export interface FileSource {
  /** For messages: `lab/vim`, or the name of a server. */
  readonly name: string;
  /**
   * The content from a byte on.
   * @throws HubError, HubApiError where asking again gets the same answer
   */
  open(file: RemoteFile, from: number): Promise<AsyncIterable<Uint8Array>>;
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
  source: FileSource,
  file: RemoteFile,
  target: string,
  options: DownloadOptions = {},
): Promise<void> {
  makeFolder(dirname(target));
  const lock = await takeTurn(target, options);
  try {
    if (existsSync(target)) return;
    const part = `${target}${file.version === undefined ? '' : `.${file.version}`}.part`;
    for (;;) {
      const resumed = sizeOf(part) > 0;
      await receiveAll(source, file, part, options);
      const digest = await digestOf(part, file);
      if (digest === file.digest?.hex) break;
      rmSync(part, { force: true });
      if (!resumed) {
        throw new HubError(
          `${source.name}: ${file.path} came with the checksum ${digest ?? ''}, expected ${file.digest?.hex ?? ''}. ` +
            'Something between here and there changes files (a proxy?). Download it by hand and give its path.',
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

async function receiveAll(
  source: FileSource,
  file: RemoteFile,
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
          `${source.name}: ${file.path} broke off after ${size} of ${file.size} bytes (${innermostReasonOf(error)}), ` +
            `${failures} times without progress. The same command goes on from there.`,
          { cause: error },
        );
      }
      onNote?.(`${file.path}: ${innermostReasonOf(error)}; going on after ${size} bytes.`);
      await sleep(delay, undefined, signal ? { signal } : {});
      delay = Math.min(2 * delay, 30_000);
    }
  }
}

/** One attempt: appends what comes. */
async function receive(
  source: FileSource,
  file: RemoteFile,
  part: string,
  { onProgress, signal }: DownloadOptions,
): Promise<void> {
  const there = statSync(part, { throwIfNoEntry: false });
  if (there && (!there.isFile() || there.size > file.size)) rmSync(part);
  let received = sizeOf(part);
  const content = await source.open(file, received);
  const target = await open(part, 'a');
  try {
    onProgress?.({ received, total: file.size });
    for await (const chunk of content) {
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

/** In the form of the file's own; undefined where that has none. */
async function digestOf(path: string, { digest, size }: RemoteFile): Promise<string | undefined> {
  if (digest === undefined) return undefined;
  const hash = createHash(digest.kind === 'git' ? 'sha1' : digest.kind);
  if (digest.kind === 'git') hash.update(`blob ${size}\0`);
  if (!statSync(path).isFile()) throw new HubError(`${path}: expected a regular file. Delete it.`);
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest('hex');
}

const sizeOf = (path: string): number => statSync(path, { throwIfNoEntry: false })?.size ?? 0;
