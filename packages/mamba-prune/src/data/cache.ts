/**
 * Cache files: one converted data set or one checked listing each.
 *
 *     bytes 0..7    "MPCACHE1"
 *     bytes 8..39   sha256 of everything after
 *     bytes 40..43  length of the header, uint32 little-endian
 *     ...           header (JSON, UTF-8), then the payload
 *
 * A cache is only ever a copy of something: whatever is wrong with it, it is made anew.
 */
import { createHash } from 'node:crypto';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { updateHash, writeFileAtomic, writeFully } from '@mamba-prune/libtorch/files';
import { makeFolder } from '../files/folder.js';
import { errnoOf, reasonOf } from './errors.js';
import { readWhole } from './read-whole.js';

const magic = Buffer.from('MPCACHE1', 'latin1');
const headerAt = magic.length + 32 + 4;

/** $XDG_CACHE_HOME/mamba-prune, or ~/.cache/mamba-prune. */
export function defaultCacheDir(environment: NodeJS.ProcessEnv = process.env): string {
  const base = environment['XDG_CACHE_HOME'];
  return join(base !== undefined && base !== '' ? base : join(homedir(), '.cache'), 'mamba-prune');
}

export interface CacheContent {
  header: unknown;
  /** The rest of the file; a view, aligned to 1 byte only. */
  payload: Uint8Array;
}

export type CacheRead =
  | { state: 'ok'; content: CacheContent }
  | { state: 'missing' }
  | { state: 'corrupt'; reason: string };

/** Reads and checks a cache file. Never throws: an unreadable cache is a corrupt one. */
export function readCache(path: string): CacheRead {
  let bytes: Buffer;
  try {
    bytes = readWhole(path);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT' || errnoOf(error) === 'ENOTDIR') return { state: 'missing' };
    return { state: 'corrupt', reason: reasonOf(error) };
  }
  if (bytes.length < headerAt || !bytes.subarray(0, magic.length).equals(magic)) {
    return { state: 'corrupt', reason: `no cache file (${bytes.length} bytes)` };
  }
  const stored = bytes.subarray(magic.length, magic.length + 32);
  const actual = createHash('sha256')
    .update(bytes.subarray(magic.length + 32))
    .digest();
  if (!stored.equals(actual)) return { state: 'corrupt', reason: 'checksum does not match' };
  const end = headerAt + bytes.readUInt32LE(headerAt - 4);
  try {
    const header: unknown = JSON.parse(bytes.toString('utf8', headerAt, end));
    return { state: 'ok', content: { header, payload: bytes.subarray(end) } };
  } catch (error) {
    return { state: 'corrupt', reason: reasonOf(error) };
  }
}

/**
 * Writes a cache file whole or not at all. Where two processes convert at the same time, the last one's stays.
 * @throws the system's error, as `writeFileAtomic` has it
 */
export function writeCache(path: string, header: unknown, payload: readonly Uint8Array[]): void {
  const json = Buffer.from(JSON.stringify(header), 'utf8');
  const length = Buffer.alloc(4);
  length.writeUInt32LE(json.length);
  const body = [length, json, ...payload];
  const digest = createHash('sha256');
  for (const part of body) updateHash(digest, part);
  makeFolder(dirname(path));
  writeFileAtomic(path, (file) => {
    for (const part of [magic, digest.digest(), ...body]) writeFully(file, part);
  });
}
