import { readlinkSync } from 'node:fs';

/**
 * What is said of a path where nothing is, behind its name: `does not exist`, or that a link stands there, as copies of folders of
 * links have them (the cache of the hub keeps its files so).
 */
export function whyMissing(path: string): string {
  const target = linkTarget(path);
  return target === undefined ? 'does not exist' : `is a link to ${target}, where nothing is`;
}

/** What a link names; undefined for what is none. */
export function linkTarget(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}
