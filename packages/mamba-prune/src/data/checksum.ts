import { createHash } from 'node:crypto';
import { createReadStream, statSync } from 'node:fs';
import { DataError } from './errors.js';

/** How npm writes a checksum; one without it is an md5 in hex. */
const sha512 = 'sha512-';

/** md5 of a file, hex, read in pieces. Guards against broken downloads only, not against attacks. */
export const md5OfFile = (path: string): Promise<string> => digestOf(path, 'md5', 'hex');

/**
 * The checksum of a file in the way another one is written: `sha512-` and base64, as package-lock.json has
 * it, or md5 in hex.
 * @throws DataError if it is no regular file; the system's error
 */
export async function checksumOfFile(path: string, expected: string): Promise<string> {
  if (!expected.startsWith(sha512)) return md5OfFile(path);
  return `${sha512}${await digestOf(path, 'sha512', 'base64')}`;
}

/** `md5 0123...`, `sha512-abc...` */
export const describeChecksum = (checksum: string): string =>
  checksum.startsWith(sha512) ? checksum : `md5 ${checksum}`;

async function digestOf(
  path: string,
  algorithm: 'md5' | 'sha512',
  encoding: 'hex' | 'base64',
): Promise<string> {
  if (!statSync(path).isFile()) {
    throw new DataError(`${path}: it is no regular file. Delete it.`, { file: path });
  }
  const digest = createHash(algorithm);
  for await (const chunk of createReadStream(path)) digest.update(chunk as Buffer);
  return digest.digest(encoding);
}
