import { mkdtempSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { extract } from 'tar';
import { makeFolder } from '../files/folder.js';
import { CIFAR10, CIFAR100, type CifarSpec } from './cifar-spec.js';
import { downloadFile, type DownloadOptions } from './download.js';
import { DataError, errnoOf, reasonOf } from './errors.js';

/** The names that `downloadDataset` knows. */
export type DownloadableName = 'cifar10' | 'cifar100' | 'fashion-mnist';

const SPECS: Record<Exclude<DownloadableName, 'fashion-mnist'>, CifarSpec> = { cifar10: CIFAR10, cifar100: CIFAR100 };

export interface DownloadDatasetOptions extends DownloadOptions {
  /** Another address of the same archive (a mirror); the checksum stays the official one. */
  url?: string;
}

/**
 * Downloads and unpacks an official data set; what is there already is kept, a broken download
 * continues where it stopped.
 * @param dir - made if missing; the archive goes into it, and the unpacked folder of CIFAR
 * @returns the unpacked folder, or the archive of Fashion-MNIST
 * @throws DataError for unknown names, no network, a wrong checksum, a full disk
 */
export async function downloadDataset(
  name: string,
  dir: string,
  options: DownloadDatasetOptions = {},
): Promise<string> {
  if (name === 'fashion-mnist') {
    const { getFashionMnist } = await import('./fashion-mnist-get.js');
    return getFashionMnist(dir, options);
  }
  const spec = Object.hasOwn(SPECS, name) ? SPECS[name as keyof typeof SPECS] : undefined;
  if (spec === undefined) {
    throw new DataError(
      `downloadDataset: got "${name}", expected one of: fashion-mnist, ${Object.keys(SPECS).join(', ')}. ` +
        'Get other data sets from their own sites and give their folder.',
      { isUsage: true },
    );
  }
  return getDataset(spec, dir, options);
}

function makeDataFolder(spec: CifarSpec, dir: string): void {
  try {
    makeFolder(dir);
  } catch (error) {
    throw new DataError(
      `downloadDataset "${spec.name}": the folder ${dir} cannot be made (${errnoOf(error) ?? reasonOf(error)}). ` +
        'Give another one that you may write (--data DIR).',
      { cause: error, file: dir },
    );
  }
}

/** As downloadDataset, for any layout. */
export async function getDataset(
  spec: CifarSpec,
  dir: string,
  options: DownloadDatasetOptions = {},
): Promise<string> {
  const folder = join(dir, spec.folder);
  const archive = join(dir, spec.archive);
  try {
    makeDataFolder(spec, dir);
    if (isWhole(spec, folder)) return folder;
    await downloadFile(options.url ?? spec.url, archive, spec.md5, options);
    await unpack(spec, dir, archive, folder);
  } catch (error) {
    if (error instanceof DataError) throw error;
    throw new DataError(`downloadDataset "${spec.name}": ${dir}: ${reasonOf(error)}.`, {
      cause: error,
      file: dir,
    });
  }
  return folder;
}

/** Unpacks beside the target and moves the files there when all are whole, so a stop leaves no half file. */
async function unpack(
  spec: CifarSpec,
  dir: string,
  archive: string,
  folder: string,
): Promise<void> {
  const temporary = mkdtempSync(join(dir, `.${spec.folder}-`));
  try {
    await extract({ file: archive, cwd: temporary, strict: true });
    const unpacked = join(temporary, spec.folder);
    if (!isWhole(spec, unpacked)) {
      throw new DataError(
        `downloadDataset "${spec.name}": ${archive} does not hold ${spec.folder} with ` +
          `${[...spec.train, ...spec.test].join(', ')} in full. Delete it and try again.`,
        { file: archive },
      );
    }
    // File by file: whatever else the user keeps in that folder stays.
    makeFolder(folder);
    for (const name of readdirSync(unpacked)) renameSync(join(unpacked, name), join(folder, name));
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
}

/** All files with their right sizes. */
function isWhole(spec: CifarSpec, folder: string): boolean {
  const record = spec.labelBytes + 3072;
  const has = (names: readonly string[], records: number) =>
    names.every(
      (name) =>
        statSync(join(folder, name), { throwIfNoEntry: false })?.size === records * record,
    );
  return has(spec.train, spec.recordsPerTrainFile) && has(spec.test, spec.recordsPerTestFile);
}
