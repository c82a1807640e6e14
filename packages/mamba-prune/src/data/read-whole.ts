/** Files of data sets: any of them may be a named pipe, or far larger than it should be. */
import { statSync } from 'node:fs';
import { readRegularFile } from '@mamba-prune/libtorch/files';
import { DataError } from './errors.js';

/**
 * A whole file in memory.
 * @param most - bytes beyond which it is not read
 * @throws FormatError if it is no regular file or too large; the system's error if it cannot be opened
 */
export function readWhole(path: string, most?: number): Buffer {
  return Buffer.from(readRegularFile(path, most === undefined ? {} : { most }).buffer);
}

/** Lists and annotations of a data set: ImageNet's longest has 30 MB. */
export const readList = (path: string): string => readWhole(path, 256 * 1024 ** 2).toString('utf8');

/**
 * Size and time of change of a file that is to be opened by others.
 * @throws DataError, without the file's name, if opening it could wait for ever; the system's error if
 *   there is none
 */
export function statRegular(path: string): { readonly size: number; readonly mtimeMs: number } {
  const stat = statSync(path);
  if (stat.isDirectory()) throw new DataError('it is a folder, expected a file: give those in it');
  if (!stat.isFile()) throw new DataError('it is no regular file');
  return stat;
}
