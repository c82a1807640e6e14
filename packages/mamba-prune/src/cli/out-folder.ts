// The folder that a file is to be written into.
import { basename, dirname, resolve } from 'node:path';
import { systemReason } from '@mamba-prune/libtorch/files';
import { UsageError } from '../errors.js';
import { checkFolder, isWrongName } from '../files/folder.js';

/**
 * Before a model is read and checked.
 * @param check - throws what keeps a folder from being made or written
 * @throws UsageError if there can be no such file, Error if the disk or its permissions have to change
 */
export function checkFolderOf(out: string, check = checkFolder): void {
  const folder = dirname(resolve(out));
  try {
    check(folder);
  } catch (error) {
    if (!isWrongName(error)) {
      throw new Error(`--out: cannot write ${out}: ${systemReason(error)}`, { cause: error });
    }
    throw new UsageError(
      `--out: ${folder} is no folder and cannot be made one (${(error as Error).message}), expected one for ${basename(out)}.`,
      { cause: error },
    );
  }
}
