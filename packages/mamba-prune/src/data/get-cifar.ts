// Brings CIFAR-10 and CIFAR-100 to a machine: the official archive, checked and unpacked.
import { mkdtempSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { systemReason } from '@mamba-prune/libtorch/files';
import { extract } from 'tar';
import { innermostReasonOf } from '../errors.js';
import { makeFolder } from '../files/folder.js';
import type { CifarSpec } from './cifar-spec.js';
import type { DownloadDatasetOptions } from './definition.js';
import { downloadFile } from './download.js';
import { DataError, errnoOf } from './errors.js';

function makeDataFolder(spec: CifarSpec, dir: string): void {
  try {
    makeFolder(dir);
  } catch (error) {
    throw new DataError(
      `downloadDataset "${spec.name}": the folder ${dir} cannot be made (${errnoOf(error) ?? innermostReasonOf(error)}). ` +
        'Give another one that you may write (`dir`).',
      { cause: error, file: dir },
    );
  }
}

/**
 * Downloads and unpacks an official archive; what is there already is kept, a broken download continues where it
 * stopped.
 * @param dir - made if missing; the archive goes into it, and the unpacked folder
 * @returns the unpacked folder
 * @throws DataError for no network, a wrong checksum, a full disk; what a callback throws
 */
export async function getCifar(
  spec: CifarSpec,
  dir: string,
  options: DownloadDatasetOptions = {},
): Promise<string> {
  const folder = join(dir, spec.folder);
  const archive = join(dir, spec.archive);
  const onDisk = (error: unknown): unknown =>
    error instanceof DataError
      ? error
      : new DataError(`downloadDataset "${spec.name}": ${dir}: ${systemReason(error)}`, {
          cause: error,
          file: dir,
        });
  try {
    makeDataFolder(spec, dir);
    if (isWhole(spec, folder)) return folder;
  } catch (error) {
    throw onDisk(error);
  }
  // What its callbacks throw is the caller's own.
  await downloadFile(options.url ?? spec.url, archive, spec.md5, options);
  try {
    await unpack(spec, dir, archive, folder);
  } catch (error) {
    throw onDisk(error);
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
      (name) => statSync(join(folder, name), { throwIfNoEntry: false })?.size === records * record,
    );
  return has(spec.train, spec.recordsPerTrainFile) && has(spec.test, spec.recordsPerTestFile);
}
