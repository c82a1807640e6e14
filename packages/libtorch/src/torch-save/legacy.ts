// The format of torch < 1.6, which torch.save(..., _use_new_zipfile_serialization=False) still writes:
//   a pickled magic number | a pickled version of the protocol (1001) | a pickled dict about the machine |
//   the pickled structure | the pickled list of the keys of its storages |
//   for each key: the number of elements (int64), then the elements
// After torch/serialization.py (`_legacy_save`, `_legacy_load`).
import { closeSync } from 'node:fs';
import { FormatError } from '../errors.js';
import { readExactly } from '../files/read.js';
import { quoted } from '../safetensors/header.js';
import type { ArchiveEntry, StorageSource } from './source.js';
import { describe, pickleLimits, type PickleEnvironment, Unpickler } from './unpickler.js';
import type { PickleValue } from './values.js';

const protocolVersion = 1001;

/** What is read of a pickle first; more when it goes on. */
const firstBytes = 256 * 1024;

/** A storage that the structure asks for: where it lies is known once the list of keys has been read. */
interface Claimed extends ArchiveEntry {
  position: number;
}

export class LegacyFile implements StorageSource {
  readonly #claimed = new Map<string, Claimed>();
  readonly path: string;
  /** Bytes of the whole file. */
  readonly size: number;
  #fd: number | undefined;

  /** Takes over an open file. */
  constructor(path: string, size: number, fd: number | undefined) {
    this.path = path;
    this.size = size;
    this.#fd = fd;
  }

  /** No storage is larger than the file: what a pickle claims is held against that before it is believed. */
  locate(key: string, byteLength: number): ArchiveEntry | undefined {
    let entry = this.#claimed.get(key);
    if (entry === undefined && byteLength <= this.size) {
      entry = { position: 0, byteLength };
      this.#claimed.set(key, entry);
    }
    return entry;
  }

  read(entry: ArchiveEntry, start: number, length: number, what: string): Uint8Array<ArrayBuffer> {
    return this.#bytes(entry.position + start, length, what);
  }

  close(): void {
    if (this.#fd === undefined) return;
    closeSync(this.#fd);
    this.#fd = undefined;
  }

  /**
   * What was saved.
   * @param environmentOf - for the pickle of that name
   * @param itemSize - bytes of an element of the storage of that key
   * @throws FormatError if it is damaged or not allowed
   */
  parse(
    environmentOf: (part: string) => PickleEnvironment,
    itemSize: (key: string) => number,
  ): PickleValue {
    const where = `readTorchSave "${this.path}"`;
    let at = 0;
    const next = (part: string): PickleValue => {
      const start = at;
      const machine = new Unpickler(
        this.#window(start, firstBytes, where),
        environmentOf(part),
        (have) => this.#longer(start, have, where),
      );
      const value = machine.load();
      at += machine.position;
      return value;
    };
    next('magic number');
    const protocol = next('version');
    if (protocol !== protocolVersion) {
      throw new FormatError(
        `${where}: got ${describe(protocol)} as the version of the format of torch < 1.6, expected ${protocolVersion}. The file is damaged.`,
      );
    }
    const machine = next('machine');
    if (machine instanceof Map && machine.get('little_endian') === false) {
      throw new FormatError(
        `${where}: got big-endian storages, expected little-endian ones. Save it again on a little-endian machine (x86, ARM).`,
      );
    }
    const value = next('structure');
    this.#place(next('storage keys'), at, itemSize, where);
    return value;
  }

  /** Finds out where the storages lie. */
  #place(keys: PickleValue, start: number, itemSize: (key: string) => number, where: string): void {
    let at = start;
    const placed = new Set<string>();
    for (const key of Array.isArray(keys) ? keys : []) {
      const entry = typeof key === 'string' ? this.#claimed.get(key) : undefined;
      if (typeof key !== 'string' || entry === undefined || placed.has(key)) {
        throw new FormatError(
          `${where}: got a storage that no tensor asked for among the storage keys. The file is damaged.`,
        );
      }
      const what = `${where}, storage ${quoted(key)}`;
      const expected = entry.byteLength / itemSize(key);
      const bytes = this.#bytes(at, 8, what);
      const count = new DataView(bytes.buffer).getBigInt64(0, true);
      if (count !== BigInt(expected)) {
        throw new FormatError(
          `${what}: got ${count} elements, expected the ${expected} of its tensors. The file is damaged.`,
        );
      }
      entry.position = at + 8;
      at = entry.position + entry.byteLength;
      if (at > this.size) {
        throw new FormatError(
          `${what}: got a file of ${this.size} bytes, expected at least ${at}. The file is truncated; copy it again.`,
        );
      }
      placed.add(key);
    }
    for (const key of this.#claimed.keys()) {
      if (placed.has(key)) continue;
      throw new FormatError(
        `${where}: got no storage ${quoted(key)}, which a tensor asks for. The file is damaged.`,
      );
    }
  }

  #bytes(position: number, length: number, what: string): Uint8Array<ArrayBuffer> {
    if (this.#fd === undefined) {
      throw new FormatError(`${what}: the file is closed. Read before close().`);
    }
    return readExactly(this.#fd, position, length, what);
  }

  #window(start: number, length: number, where: string): Uint8Array<ArrayBuffer> {
    return this.#bytes(start, Math.min(length, this.size - start), where);
  }

  /** Four times as much as before, so that everything is read a bounded number of times. */
  #longer(start: number, have: number, where: string): Uint8Array | undefined {
    if (have >= Math.min(this.size - start, pickleLimits.bytes)) return undefined;
    return this.#window(start, Math.min(4 * have, pickleLimits.bytes), where);
  }
}
