// A file of weights that lies at an address of its own, such as one of a release on GitHub: into the same cache, and
// continued and checked as files of the hub are.
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { getHFHubCachePath } from '@huggingface/hub';
import { bytes } from '../format.js';
import { cacheRoot } from './cache.js';
import { type FileSource, type RemoteFile, downloadToFile } from './download.js';
import { HubError, isNetworkError, innermostReasonOf } from './errors.js';
import { type HubOptions, isOffline } from './fetch.js';
import { addressParts } from './origin.js';

export interface AddressResult {
  /** The file, in the cache: read it, but do not write it. */
  readonly path: string;
  /** False if the cache had it. */
  readonly downloaded: boolean;
}

/** Where the cache keeps the file of an address, whether it is there or not. */
export const addressFile = (address: string, cacheDir = getHFHubCachePath()): string =>
  join(cacheDir, ...addressParts(address));

/**
 * The file of an address. One that the cache has is taken as it is: files of releases do not change.
 *
 * @param address - http or https
 * @throws HubError if it cannot be had, or does not come as the server says
 */
export async function fetchAddress(
  address: string,
  options: HubOptions = {},
): Promise<AddressResult> {
  const path = addressFile(address, cacheRoot(options.cacheDir));
  if (existsSync(path)) return { path, downloaded: false };
  if (isOffline(options)) {
    throw new HubError(`${address}: HF_HUB_OFFLINE is set, and ${path} is not there.`);
  }
  const call = ofCall(options);
  try {
    const file = await describe(address, call);
    options.onBegin?.({ file: file.path, bytes: file.size });
    await downloadToFile(ofAddress(address, call), file, path, options);
  } catch (error) {
    if (error instanceof HubError || options.signal?.aborted === true) throw error;
    if (!isNetworkError(error)) throw error;
    throw new HubError(
      `${address}: cannot reach ${new URL(address).host} (${innermostReasonOf(error)}), and the cache has no copy.`,
      { cause: error },
    );
  }
  return { path, downloaded: true };
}

const ofCall =
  ({ fetch: given, signal }: HubOptions): typeof fetch =>
  (input, init) =>
    (given ?? fetch)(input, { ...init, ...(signal && { signal }) });

/** Asks for one byte: servers that sign their redirects for GET refuse HEAD. */
async function describe(address: string, call: typeof fetch): Promise<RemoteFile> {
  const response = await call(address, { headers: { Range: 'bytes=0-0' } });
  await response.body?.cancel();
  const { status, headers } = response;
  refuse(address, status);
  const [, total] = /\/(\d+)$/.exec(headers.get('content-range') ?? '') ?? [];
  const length = status === 206 ? total : headers.get('content-length');
  if (length === null || length === undefined) {
    throw new HubError(
      `${address}: the server does not say how large the file is, so that nobody could tell whether all of it came. Download it by hand.`,
    );
  }
  // Where Azure keeps files, as for GitHub's releases, it tells that of the whole.
  const md5 = headers.get('x-ms-blob-content-md5');
  const tag = headers.get('etag') ?? headers.get('last-modified');
  return {
    path: decodeURIComponent(addressParts(address).at(-1) ?? address),
    size: Number(length),
    digest:
      md5 === null ? undefined : { kind: 'md5', hex: Buffer.from(md5, 'base64').toString('hex') },
    ...(tag !== null && {
      version: createHash('sha256').update(tag).digest('hex').slice(0, 8),
    }),
  };
}

/** @throws HubError for an answer without the file, except where trying again may help */
function refuse(address: string, status: number): void {
  if (status === 200 || status === 206) return;
  const said = `${address}: the server answered ${status}`;
  if (status >= 500 || status === 429) throw new HubError(`${said}. Try again later.`);
  throw new HubError(`${said}, expected the file. Has it moved?`);
}

const ofAddress = (address: string, call: typeof fetch): FileSource => ({
  name: new URL(address).host,
  async open(file, from) {
    if (from >= file.size) return nothing();
    const headers: Record<string, string> = from > 0 ? { Range: `bytes=${from}-` } : {};
    const response = await call(address, { headers });
    const { status, body } = response;
    if (status >= 500 || status === 429) throw new Error(`the server answered ${status}`);
    refuse(address, status);
    const [, start = '0'] = /^bytes (\d+)-/.exec(response.headers.get('content-range') ?? '') ?? [];
    const content = (body ?? nothing()) as AsyncIterable<Uint8Array>;
    if (Number(start) > from) {
      await body?.cancel();
      throw new HubError(
        `${address}: the server sends the file from ${bytes(Number(start))} on, expected from ${bytes(from)} on, where it broke ` +
          'off. Download it by hand.',
      );
    }
    // One that knows no ranges sends all of it again.
    return without(content, from - Number(start));
  },
});

/** What comes after the first `count` bytes. */
async function* without(
  content: AsyncIterable<Uint8Array>,
  count: number,
): AsyncGenerator<Uint8Array> {
  let left = count;
  for await (const chunk of content) {
    if (chunk.length > left) yield chunk.subarray(left);
    left = Math.max(0, left - chunk.length);
  }
}

// eslint-disable-next-line @typescript-eslint/require-await -- the others wait
async function* nothing(): AsyncGenerator<Uint8Array> {
  yield* [];
}
