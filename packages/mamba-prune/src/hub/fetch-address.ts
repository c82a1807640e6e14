// A file of weights that lies at an address of its own, such as one of a release on GitHub: into the same cache, and
// continued and checked as files of the hub are.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { getHFHubCachePath } from '@huggingface/hub';
import { innermostReasonOf } from '../errors.js';
import { CallbackError, callingBack } from '../files/callbacks.js';
import { DownloadError, download } from '../files/download.js';
import { describeHttpFile, httpFile } from '../files/http-file.js';
import { cacheRoot } from './cache.js';
import { HubError, isNetworkError } from './errors.js';
import { type HubOptions, isOffline } from './fetch.js';
import { byHand } from './hub-source.js';
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
  await callingBack(options, (guarded) => bring(address, path, guarded));
  return { path, downloaded: true };
}

async function bring(address: string, path: string, options: HubOptions): Promise<void> {
  const facts = {
    name: address,
    label: decodeURIComponent(addressParts(address).at(-1) ?? address),
    byHand,
    fetch: options.fetch,
  };
  try {
    const described = await describeHttpFile(address, facts, options);
    options.onBegin?.({ file: facts.label, bytes: described.size });
    await download(httpFile(address, { ...facts, ...described }), path, options);
  } catch (error) {
    if (error instanceof CallbackError) throw error;
    if (error instanceof DownloadError) throw new HubError(error.message, { cause: error });
    if (options.signal?.aborted === true || !isNetworkError(error)) throw error;
    throw new HubError(
      `${address}: cannot reach ${new URL(address).host} (${innermostReasonOf(error)}), and the cache has no copy.`,
      { cause: error },
    );
  }
}
