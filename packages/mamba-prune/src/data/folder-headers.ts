/** What is known of every image of a folder before any is decoded: each header is checked once, and then remembered. */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { systemReason } from '@mamba-prune/libtorch/files';
import { z } from 'zod';
import { defaultCacheDir, readCache, writeCache } from './cache.js';
import { isReadingError, reasonOf } from './errors.js';
import type { FoundImages } from './folder-layout.js';
import { checkImage } from './image-decode.js';
import { forEachLimited } from './limit.js';
import { statRegular } from './read-whole.js';
import type { Original } from './resized-cache.js';
import type { OpenDatasetOptions } from './types.js';

/** How many files are looked at together; sharp's threads decide how many really run. */
const checksAtOnce = 32;

/** [bytes, modified (ms), width, height, 1 if plain (see ImageHeader)] */
export type CheckedHeader = [number, number, number, number, number];
const CheckedFiles = z.object({
  // 1 had the sizes of pictures that were not upright, and trusted files that are checked more closely now; 2 those of
  // pictures turned by an orientation that does not count.
  version: z.literal(3),
  files: z.record(
    z.string(),
    z.tuple([z.number(), z.number(), z.number(), z.number(), z.number()]),
  ),
});

/**
 * Looks at the headers of all images; unchanged files have been looked at before.
 * @param name - of the data set
 * @param dir - what the paths are relative to
 * @returns the headers by path, a line for every image that cannot be used, and what to do about those
 */
export async function checkHeaders(
  name: string,
  dir: string,
  found: FoundImages,
  options: OpenDatasetOptions,
): Promise<{ headers: Map<string, CheckedHeader>; problems: string[]; advice: string }> {
  const digest = createHash('sha1').update(dir).digest('hex').slice(0, 16);
  const cachePath = join(options.cacheDir ?? defaultCacheDir(), `listing-${digest}.bin`);
  const cache = readCache(cachePath);
  const parsed = cache.state === 'ok' ? CheckedFiles.safeParse(cache.content.header) : undefined;
  const known = new Map(Object.entries(parsed?.success ? parsed.data.files : {}));

  const paths = [...found.train.paths, ...found.test.paths];
  const headers = new Map<string, CheckedHeader>();
  const faults = new Map<string, string>();
  let done = 0;
  let fresh = 0;
  const ways = new Set<string>();
  await forEachLimited(paths.length, checksAtOnce, async (i) => {
    const path = paths[i] as string;
    const full = join(dir, path);
    try {
      const { size, mtimeMs } = statRegular(full);
      const before = known.get(path);
      if (before?.[0] === size && before[1] === mtimeMs) headers.set(path, before);
      else {
        headers.set(path, [size, mtimeMs, 0, 0, 0]);
        const { width, height, isPlain = false } = await checkImage(full, size);
        headers.set(path, [size, mtimeMs, width, height, Number(isPlain)]);
        fresh++;
      }
    } catch (error) {
      headers.set(path, [0, 0, 0, 0, 0]);
      faults.set(path, reasonOf(error));
      ways.add(
        isReadingError(error)
          ? 'Look whether the disk is there, and whether you may read what is on it.'
          : 'Replace or delete them.',
      );
    }
    if (++done % 100 === 0 || done === paths.length) options.onProgress?.(done, paths.length);
  });
  if (fresh > 0 || known.size !== headers.size) {
    const good = [...headers].filter(([path]) => !faults.has(path));
    try {
      writeCache(cachePath, { version: 3, files: Object.fromEntries(good) }, []);
    } catch (error) {
      options.onNote?.(
        `${name}: the cache ${cachePath} cannot be written, so that the images are checked again on the next start: ` +
          systemReason(error),
      );
    }
  }
  const problems = paths
    .filter((path) => faults.has(path))
    .map((path) => `${join(dir, path)} (${faults.get(path) ?? ''})`);
  return { headers, problems, advice: [...ways].sort().join(' ') };
}

/** An image as its header describes it. */
export function originalOf(path: string, headers: ReadonlyMap<string, CheckedHeader>): Original {
  const [bytes, modifiedMs, width, height, plain] = headers.get(path) ?? [0, 0, 0, 0, 0];
  return { path, bytes, modifiedMs, width, height, isPlain: plain === 1 };
}
