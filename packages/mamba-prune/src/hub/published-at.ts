// Which published weights a file of the cache is.
import { publishedWeights } from '../models/published.js';
import type { PublishedWeights } from '../models/published-weights.js';
import { originOf } from './origin.js';
import { isHubSpec, parseHubSpec } from './spec.js';

/** The published weights that a file of the cache holds; undefined for any other file. */
export function publishedAt(path: string): PublishedWeights | undefined {
  const origin = originOf(path);
  if (!origin) return undefined;
  return publishedWeights().find(({ address }) => {
    if ('address' in origin) return address === origin.address;
    if (!isHubSpec(address)) return false;
    const { repo, file } = parseHubSpec(address);
    return repo === origin.repo && file === origin.file;
  });
}
