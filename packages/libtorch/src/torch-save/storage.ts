// One storage of a torch.save file: the bytes that one or several tensors look at.
import { crc32 } from 'node:zlib';
import { FormatError } from '../errors.js';
import type { ArchiveEntry, StorageSource } from './source.js';

/** Checksums are computed in pieces, so that a part of a large storage can be read with little memory. */
const checkChunk = 16 * 1024 * 1024;

/** Bytes that one or several tensors look at, wherever they lie. */
export interface StorageBytes {
  /** Tensors of one file with equal keys share memory. */
  readonly key: string;
  readonly byteLength: number;
  /** Bytes [start, start + length) in memory of their own; the caller keeps them within the storage. */
  read(start: number, length: number): Uint8Array<ArrayBuffer>;
}

/** Bytes that the pickle itself holds: arrays of numpy. */
export class MemoryStorage implements StorageBytes {
  readonly #bytes: Uint8Array;
  readonly key: string;

  constructor(bytes: Uint8Array, key: string) {
    this.#bytes = bytes;
    this.key = key;
  }

  get byteLength(): number {
    return this.#bytes.byteLength;
  }

  read(start: number, length: number): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.#bytes.subarray(start, start + length));
  }
}

export class TorchStorage implements StorageBytes {
  #bytes: Uint8Array<ArrayBuffer> | undefined;
  #checked: boolean;
  readonly #source: StorageSource;
  readonly #entry: ArchiveEntry;
  readonly key: string;

  constructor(source: StorageSource, entry: ArchiveEntry, key: string, checkCrc: boolean) {
    this.#source = source;
    this.#entry = entry;
    this.key = key;
    this.#checked = !checkCrc || entry.crc32 === undefined;
  }

  get byteLength(): number {
    return this.#entry.byteLength;
  }

  /** Reads everything now, so that the file can be closed. */
  load(): void {
    this.#bytes ??= this.read(0, this.byteLength);
  }

  /**
   * Bytes [start, start + length) in memory of their own; the caller keeps them within the storage.
   *
   * @throws FormatError if the checksum of the storage is wrong or the file is closed
   */
  read(start: number, length: number): Uint8Array<ArrayBuffer> {
    if (this.#bytes !== undefined) return this.#bytes.slice(start, start + length);
    const what = `readTorchSave "${this.#source.path}", storage ${this.key}`;
    const whole = length === this.byteLength;
    if (!this.#checked && !whole) this.#checkInPieces(what);
    const bytes = this.#source.read(this.#entry, start, length, what);
    if (!this.#checked) this.#compare(crc32InPieces(bytes), what);
    return bytes;
  }

  #checkInPieces(what: string): void {
    let sum = 0;
    for (let at = 0; at < this.byteLength; at += checkChunk) {
      const length = Math.min(checkChunk, this.byteLength - at);
      sum = crc32(this.#source.read(this.#entry, at, length, what), sum);
    }
    this.#compare(sum, what);
  }

  #compare(sum: number, what: string): void {
    const { crc32: expected = sum } = this.#entry;
    if (sum !== expected) {
      throw new FormatError(
        `${what}: got checksum ${sum.toString(16)}, expected ${expected.toString(16)}. ` +
          'The file is damaged; copy it again. (A file from torch.serialization.set_crc32_options(False) ' +
          'has no checksums: save it again with True.)',
      );
    }
    this.#checked = true;
  }
}

/** As `crc32`, for bytes of any number. */
function crc32InPieces(bytes: Uint8Array): number {
  let sum = 0;
  for (let at = 0; at < bytes.byteLength; at += checkChunk) {
    sum = crc32(bytes.subarray(at, at + checkChunk), sum);
  }
  return sum;
}
