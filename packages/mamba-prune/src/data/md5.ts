import { createHash } from 'node:crypto';
import { createReadStream, statSync } from 'node:fs';
import { DataError } from './errors.js';

/** md5 of a file, hex, read in pieces. Guards against broken downloads only, not against attacks. */
export async function md5OfFile(path: string): Promise<string> {
  if (!statSync(path).isFile()) {
    throw new DataError(`${path}: it is no regular file. Delete it.`, { file: path });
  }
  const digest = createHash('md5');
  for await (const chunk of createReadStream(path)) digest.update(chunk as Buffer);
  return digest.digest('hex');
}
