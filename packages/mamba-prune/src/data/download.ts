/** Downloads a file of a data set: as files/download.ts promises it, with the errors of data sets. */
import { basename } from 'node:path';
import { checksumIn } from '../files/checksum.js';
import { type DownloadOptions, DownloadError, download } from '../files/download.js';
import { httpFile } from '../files/http-file.js';
import { DataError } from './errors.js';

/**
 * @param url - http or https
 * @param file - where to
 * @param checksum - of the whole file: md5 in hex, or `sha512-` and base64 as npm writes it
 * @throws DataError if the server refuses, the network is gone, the disk is full, or the checksum is wrong
 */
export async function downloadFile(
  url: string,
  file: string,
  checksum: string,
  options: DownloadOptions = {},
): Promise<void> {
  const remote = httpFile(url, {
    name: `download: ${url}`,
    label: basename(file),
    byHand: `download it by hand to ${file}`,
    checksum: checksumIn(checksum),
    fetch: options.fetch,
  });
  try {
    await download(remote, file, options);
  } catch (error) {
    if (!(error instanceof DownloadError)) throw error;
    throw new DataError(error.message, { cause: error, file });
  }
}
