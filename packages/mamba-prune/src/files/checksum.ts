/** Checksums of files, as servers and packages publish them. */
import { createHash } from 'node:crypto';
import { createReadStream, statSync } from 'node:fs';
import { type Failure, usageError } from '../checks.js';

/** What the content of a file has to be. It guards against broken downloads only, not against attacks. */
export interface Checksum {
  /** `git` is git's sha1 of size and content, by which the hub knows small files. */
  readonly kind: 'md5' | 'sha256' | 'sha512' | 'git';
  /** In hex; that of a sha512 in base64, as npm writes it. */
  readonly value: string;
}

/** How npm writes a checksum. */
const sha512 = 'sha512-';

/** @param text - `sha512-` and base64, as package-lock.json has it, or an md5 in hex */
export const checksumIn = (text: string): Checksum =>
  text.startsWith(sha512)
    ? { kind: 'sha512', value: text.slice(sha512.length) }
    : { kind: 'md5', value: text };

/** As it was published: the reverse of `checksumIn`. */
export const checksumText = ({ kind, value }: Checksum): string =>
  kind === 'sha512' ? `${sha512}${value}` : value;

/** With its kind in front: `md5 0123...`, `sha512-abc...` */
export const describeChecksum = (checksum: Checksum): string =>
  checksum.kind === 'sha512'
    ? checksumText(checksum)
    : `${checksum.kind === 'git' ? "git's sha1" : checksum.kind} ${checksum.value}`;

/**
 * The checksum of a file, which is read in pieces.
 * @param fail - makes the error of what is no regular file. By default a UsageError.
 * @throws the system's error if it cannot be read
 */
export async function checksumOfFile(
  path: string,
  kind: Checksum['kind'],
  fail: Failure = usageError,
): Promise<Checksum> {
  const found = statSync(path);
  if (!found.isFile()) throw fail(`${path}: it is no regular file. Delete it.`);
  const hash = createHash(kind === 'git' ? 'sha1' : kind);
  if (kind === 'git') hash.update(`blob ${found.size}\0`);
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return { kind, value: hash.digest(kind === 'sha512' ? 'base64' : 'hex') };
}
