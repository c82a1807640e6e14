/** Files of data sets: any of them may be a named pipe, or far larger than it should be. */
import { type Stats, statSync } from 'node:fs';
import { readRegularFile, readTextFile } from '@mamba-prune/libtorch/files';
import { linkTarget, whyMissing } from '../files/missing.js';
import { DataError, errnoOf } from './errors.js';

/**
 * A whole file in memory.
 * @param most - bytes beyond which it is not read
 * @throws FormatError if it is no regular file or too large; the system's error if it cannot be opened
 */
export function readWhole(path: string, most?: number): Buffer {
  return Buffer.from(readRegularFile(path, most === undefined ? {} : { most }).buffer);
}

/** Lists and annotations of a data set: ImageNet's longest has 30 MB. */
export const readList = (path: string): string => readTextFile(path, { most: 256 * 1024 ** 2 });

/**
 * Size and time of change of a file that is to be opened by others.
 * @throws DataError, without the file's name, if opening it could wait for ever, or it is a link to nothing; the system's error
 *   if there is none
 */
export function statRegular(path: string): { readonly size: number; readonly mtimeMs: number } {
  const stat = statTarget(path);
  if (stat.isDirectory()) throw new DataError('it is a folder, expected a file: give those in it');
  if (!stat.isFile()) throw new DataError('it is no regular file');
  return stat;
}

function statTarget(path: string): Stats {
  try {
    return statSync(path);
  } catch (error) {
    const target = errnoOf(error) === 'ENOENT' ? linkTarget(path) : undefined;
    if (target === undefined) throw error;
    throw new DataError(`it ${whyMissing(path)}`, { cause: error });
  }
}
