// Published weights by name: where they are fetched from, and what to do by hand where there is no network.
import { existsSync } from 'node:fs';
import { getHFHubCachePath } from '@huggingface/hub';
import { DownloadError, checkDownload } from '../files/download.js';
import { isPublishedName, publishedArgument } from '../hub-names.js';
import { publishedNamed } from '../models/published.js';
import type { PublishedWeights } from '../models/published-weights.js';
import { checkOptions } from '../option-checks.js';
import { RepoCache } from './cache.js';
import { HubError } from './errors.js';
import { byHand } from './hub-source.js';
import { addressFile, fetchAddress } from './fetch-address.js';
import { type HubOptions, fetchFromHub, hubKinds } from './fetch.js';
import { placeOf } from './place.js';
import { isHubSpec, parseHubSpec } from './spec.js';

export interface PublishedResult {
  /** The file, in the cache: read it, but do not write it. */
  readonly path: string;
  /** False if the cache had it. */
  readonly downloaded: boolean;
  readonly weights: PublishedWeights;
}

/** As on-demand.ts says. */
export async function fetchPublished(
  name: string,
  options: HubOptions = {},
): Promise<PublishedResult> {
  checkOptions('fetchPublished', options, hubKinds);
  checkDownload('fetchPublished', options);
  const weights = publishedNamed(isPublishedName(name) ? name : publishedArgument({ name }));
  const { address } = weights;
  try {
    const fetched = isHubSpec(address) ? fetchFromHub : fetchAddress;
    const { path, downloaded } = await fetched(address, options);
    return { path, downloaded, weights };
  } catch (error) {
    if (!(error instanceof HubError)) throw error;
    throw new HubError(`${publishedArgument(weights)}: ${inItsPlace(weights, error, options)}`, {
      cause: error,
    });
  }
}

/** What failed, and in place of what its message says to do, what holds for these weights. */
function inItsPlace(
  weights: PublishedWeights,
  { message, cause }: HubError,
  { endpoint }: HubOptions,
): string {
  const status = cause instanceof DownloadError ? cause.status : undefined;
  const [, reason = message] = /^(.*?\b(?:has no copy|is not there))/s.exec(message) ?? [];
  const what = status === undefined ? reason : `${weights.address}: the server answered ${status}`;
  return (
    `${what.replace(new RegExp(`(?::|, or) ${byHand}\\.$`), '').replace(/[.,]$/, '')}. Download ${downloadAddress(weights, endpoint)} on a machine where that can be had, and give ` +
    `the path of the file in place of ${publishedArgument(weights)}.`
  );
}

/** What a browser or curl downloads the file from. */
export function downloadAddress(
  { address }: Pick<PublishedWeights, 'address'>,
  endpoint?: string,
): string {
  if (!isHubSpec(address)) return address;
  const { repo, revision, file = '' } = parseHubSpec(address);
  const place = placeOf('fetchPublished', { endpoint });
  return `${place.endpoint}/${repo}/resolve/${revision}/${file}`;
}

/** The file in the cache; undefined if it is not there. Asks nobody. */
export function cachedPublished(weights: PublishedWeights): string | undefined {
  const { address } = weights;
  const root = getHFHubCachePath();
  if (!isHubSpec(address)) {
    const path = addressFile(address, root);
    return existsSync(path) ? path : undefined;
  }
  const { repo, revision, file = '' } = parseHubSpec(address);
  const cache = new RepoCache(root, repo);
  const commit = cache.commitOf(revision);
  return commit !== undefined && cache.has(commit, file) ? cache.file(commit, file) : undefined;
}
