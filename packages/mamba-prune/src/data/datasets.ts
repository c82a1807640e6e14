import { openCifar, verifyCifar } from './cifar.js';
import { CIFAR10, CIFAR100 } from './cifar-spec.js';
import { type OptionKinds, checkOptions } from '../option-checks.js';
import { DataError } from './errors.js';
import { MNIST, openIdx, verifyIdx } from './idx-dataset.js';
import { openFashionMnist, verifyFashionMnist } from './fashion-mnist.js';
import { UsageError } from '../errors.js';
import { didYouMean } from './suggest.js';
import type { Dataset, OpenDatasetOptions, VerifyReport } from './types.js';

interface Entry {
  open: (options: OpenDatasetOptions) => Dataset | Promise<Dataset>;
  verify: (options: OpenDatasetOptions) => VerifyReport | Promise<VerifyReport>;
}

const DATASETS = {
  'fashion-mnist': {
    open: (options) => openFashionMnist(options),
    verify: (options) => verifyFashionMnist(options),
  },
  mnist: {
    open: (options) => openIdx(MNIST, options),
    verify: (options) => verifyIdx(MNIST, options),
  },
  cifar10: {
    open: (options) => openCifar(CIFAR10, options),
    verify: (options) => verifyCifar(CIFAR10, options),
  },
  cifar100: {
    open: (options) => openCifar(CIFAR100, options),
    verify: (options) => verifyCifar(CIFAR100, options),
  },
  'tiny-imagenet': folder('tiny-imagenet'),
  imagenet: folder('imagenet'),
  folder: folder('folder'),
} satisfies Record<string, Entry>;

/** Loaded when asked for: it brings sharp, which the other data sets do without. */
function folder(name: 'tiny-imagenet' | 'imagenet' | 'folder'): Entry {
  const load = () => import('./image-folder.js');
  return {
    open: async (options) => (await load()).openImageFolder(name, options),
    verify: async (options) => (await load()).verifyImageFolder(name, options),
  };
}

const openKinds: OptionKinds<OpenDatasetOptions> = {
  dir: 'string',
  imageSize: 'any',
  interpolation: 'any',
  cropShare: 'any',
  cacheDir: 'string',
  onNote: 'function',
  onProgress: 'function',
};

export type DatasetName = keyof typeof DATASETS;

export function datasetNames(): DatasetName[] {
  return Object.keys(DATASETS) as DatasetName[];
}

/**
 * Opens a data set and checks it; nothing damaged gets as far as training.
 * @param name - one of datasetNames()
 * @throws DataError naming the file at fault, or the names there are; UsageError for an option that there is not
 */
export async function openDataset(name: string, options: OpenDatasetOptions = {}): Promise<Dataset> {
  const { open } = entry('openDataset', name);
  checkOptions('openDataset', options, openKinds);
  return open(options);
}

/**
 * Checks everything about a data set, every pixel included.
 * @throws DataError if it is not there at all; what is wrong with it stands in the report
 */
export async function verifyDataset(
  name: string,
  dir?: string,
  options: Omit<OpenDatasetOptions, 'dir'> = {},
): Promise<VerifyReport> {
  const { verify } = entry('verifyDataset', name);
  if (dir !== undefined && typeof (dir as unknown) !== 'string') {
    throw new UsageError(`verifyDataset: got a folder of type ${typeof dir}, expected its path.`);
  }
  checkOptions('verifyDataset', options, openKinds);
  return verify(dir === undefined ? options : { ...options, dir });
}

function entry(where: string, name: string): Entry {
  const names = datasetNames();
  const known = names.find((candidate) => candidate === name);
  if (known) return DATASETS[known];
  const meant = didYouMean(name, names).map((candidate) => `"${candidate}"`);
  throw new DataError(
    `${where}: got data set "${name}", expected one of: ${names.join(', ')}.` +
      (meant.length > 0 ? ` Did you mean ${meant.join(' or ')}?` : ''),
  );
}
