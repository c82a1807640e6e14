// The list of the data sets, and what is done with one by its name.
import { z } from 'zod';
import { shown } from '../checks.js';
import { checkDownload, downloadKinds } from '../files/download.js';
import { type OptionKinds, checkOptions } from '../option-checks.js';
import { registeredBy } from '../plugins.js';
import { setUsualCropShare, usualCropShare } from '../preparation/preprocessing.js';
import { UsageError } from '../errors.js';
import { completed } from './complete-dataset.js';
import { cifar10 } from './datasets/cifar10.js';
import { cifar100 } from './datasets/cifar100.js';
import { fashionMnist } from './datasets/fashion-mnist.js';
import { folder } from './datasets/folder.js';
import { imagenet } from './datasets/imagenet.js';
import { mnist } from './datasets/mnist.js';
import { tinyImagenet } from './datasets/tiny-imagenet.js';
import type { DatasetDefinition, DownloadDatasetOptions } from './definition.js';
import { checkDefinition } from './definition-checks.js';
import { DataError } from './errors.js';
import { didYouMean } from './suggest.js';
import type { Dataset, OpenDatasetOptions, VerifyReport } from './types.js';
import { verifyByReading } from './verify-dataset.js';

/** By their names, in the order in which they are listed. */
const definitions = new Map<string, DatasetDefinition>();

const builtIn: readonly DatasetDefinition[] = [
  fashionMnist,
  mnist,
  cifar10,
  cifar100,
  tinyImagenet,
  imagenet,
  folder,
];
for (const definition of builtIn) add(definition);

function add(definition: DatasetDefinition): void {
  const { name, anySize = false, cropShare = anySize ? usualCropShare : 1 } = definition;
  definitions.set(name, definition);
  setUsualCropShare(name, cropShare);
}

/**
 * Adds a data set: from then on every function and command knows its name. A module that is imported twice may register
 * the same definition again.
 * @throws UsageError if the name is taken or not well formed, or something in the definition cannot be used
 */
export function registerDataset(definition: DatasetDefinition): void {
  const known = definitions.get((definition as DatasetDefinition | undefined)?.name ?? '');
  if (known !== undefined && known === definition) return;
  checkDefinition(definition);
  if (known !== undefined) {
    throw new UsageError(
      `registerDataset: got the name "${definition.name}", which another data set has. Choose another name.`,
    );
  }
  const module = registeredBy(definition.module);
  add(definition);
  if (module !== undefined) modules.set(definition.name, module);
}

/** By the names of what they registered: paths of files, absolute, or packages. */
const modules = new Map<string, string>();

/** The module that registered a data set; undefined if it is not known, or the data set is the program's own. */
export const datasetModule = (name: string): string | undefined => modules.get(name);

/** The names of all data sets, the registered ones last. */
export function datasetNames(): string[] {
  return [...definitions.keys()];
}

/** Whether there is a data set of a name. */
export const isDataset = (name: string): boolean => definitions.has(name);

/** Whether the folder of a data set has to be given; of one that is not known, it has. */
export const needsFolder = (name: string): boolean => definitions.get(name)?.needsFolder ?? true;

/**
 * Whether a model's data set is on this machine and small enough to be opened without being asked for.
 * @param dir - the folder that the model remembers
 */
export async function isAtHand(
  name: string | undefined,
  dir: string | undefined,
): Promise<boolean> {
  const definition = name === undefined ? undefined : definitions.get(name);
  return (await definition?.isAtHand?.(dir === undefined ? {} : { dir })) ?? false;
}

/** Name of the augmentation of a training without a preset. */
export const usualAugment = (name: string): string =>
  definitions.get(name)?.recipe?.usualAugment ?? 'standard';

/** All data sets, the registered ones last. */
export const datasetDefinitions = (): DatasetDefinition[] => [...definitions.values()];

/**
 * What is known of a data set without opening it.
 * @param where - the function that asks, for the error
 * @throws as `unknownDataset` says
 */
export function datasetDefinition(name: string, where = 'datasetDefinition'): DatasetDefinition {
  if (typeof (name as unknown) !== 'string') {
    throw new UsageError(`${where}: got ${shown(name)}, expected the name of a data set.`);
  }
  const definition = definitions.get(name);
  if (definition === undefined) throw unknownDataset(where, name);
  return definition;
}

/**
 * The error about a name that no data set has.
 * @param module - the file that registered it when it was used before, if that is known
 */
function unknownDataset(where: string, name: string, module?: string): DataError {
  const names = datasetNames();
  const meant = didYouMean(name, names).map((candidate) => `"${candidate}"`);
  const guess = meant.length > 0 ? ` Did you mean ${meant.join(' or ')}?` : '';
  return new DataError(
    `${where}: got data set "${name}", expected one of: ${names.join(', ')}.` +
      (module === undefined
        ? `${guess} If it is registered by a module, import that first (\`loadPlugin\`).`
        : ` It is registered by ${module}: import that first, or load it with \`loadPlugin\` ${module}.`),
    { isUsage: true },
  );
}

/** What a training records of the data set that it is on. */
export const datasetRecord = (info: Dataset['info']) => ({
  name: info.name,
  dir: info.dir,
  note: info.note,
  module: datasetModule(info.name),
});

const recorded = z.looseObject({ name: z.string(), module: z.string().optional() });

/**
 * Before a run's data set is opened.
 * @param where - who asks, for the error
 * @param record - `dataset` of its config.json
 * @throws as `unknownDataset` says, naming the module that the run recorded
 */
export function requireRecordedDataset(where: string, record: unknown): void {
  const { data } = recorded.safeParse(record);
  if (data && !definitions.has(data.name)) throw unknownDataset(where, data.name, data.module);
}

const openKinds: OptionKinds<OpenDatasetOptions> = {
  dir: 'string',
  imageSize: 'any',
  interpolation: 'any',
  cropShare: 'any',
  cachedSize: 'any',
  cacheDir: 'string',
  onNote: 'function',
  onProgress: 'function',
};

/**
 * Opens a data set and checks it; nothing damaged gets as far as training.
 * @param name - one of datasetNames()
 * @throws DataError naming the file at fault, or the names there are; UsageError for an option that there is not
 */
export async function openDataset(
  name: string,
  options: OpenDatasetOptions = {},
): Promise<Dataset> {
  const definition = datasetDefinition(name, 'openDataset');
  checkOptions('openDataset', options, openKinds);
  return completed(definition, await definition.open(options), options);
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
  const definition = datasetDefinition(name, 'verifyDataset');
  if (dir !== undefined && typeof (dir as unknown) !== 'string') {
    throw new UsageError(`verifyDataset: got a folder of type ${typeof dir}, expected its path.`);
  }
  checkOptions('verifyDataset', options, openKinds);
  const given: OpenDatasetOptions = dir === undefined ? options : { ...options, dir };
  if (definition.verify !== undefined) return definition.verify(given);
  return verifyByReading(completed(definition, await definition.open(given), given), given);
}

const datasetKinds: OptionKinds<DownloadDatasetOptions> = { url: 'string', ...downloadKinds };

/**
 * Downloads and unpacks a data set; what is there already is kept, a broken download continues where it stopped.
 * @param dir - made if missing; the archive goes into it, and the unpacked folder of CIFAR. By default `data`, or for a
 *   data set that needs no folder the cache, where it is found without one
 * @returns the unpacked folder, or the archive of Fashion-MNIST
 * @throws UsageError for unknown options; DataError for unknown names, no network, a wrong checksum, a full disk
 */
export async function downloadDataset(
  name: string,
  dir?: string,
  options: DownloadDatasetOptions = {},
): Promise<string> {
  checkOptions('downloadDataset', options, datasetKinds);
  checkDownload('downloadDataset', options);
  const download = definitions.get(name)?.download;
  if (download === undefined) {
    const names = datasetDefinitions().filter((definition) => definition.download !== undefined);
    throw new DataError(
      `downloadDataset: got "${name}", expected one of: ${names.map((definition) => definition.name).join(', ')}. ` +
        'Get other data sets from their own sites and give their folder.',
      { isUsage: true },
    );
  }
  return dir === undefined && download.getToCache !== undefined
    ? download.getToCache(options)
    : download.get(dir ?? downloadFolder, options);
}

/** Where downloads go that need a folder and are given none. */
export const downloadFolder = 'data';
