import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';

/** md5 of a file, hex, read in pieces. Guards against broken downloads only, not against attacks. */
export async function md5OfFile(path: string): Promise<string> {
  const digest = createHash('md5');
  for await (const chunk of createReadStream(path)) digest.update(chunk as Buffer);
  return digest.digest('hex');
}
