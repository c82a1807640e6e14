// What the two formats of torch.save have in common: storages, whose bytes lie somewhere in the file.

/** Where the bytes of a storage, or of another part, lie in the file. */
export interface ArchiveEntry {
  readonly position: number;
  readonly byteLength: number;
  /** Undefined where the format has no checksums. */
  readonly crc32?: number;
}

export interface StorageSource {
  readonly path: string;
  /** Bytes of the whole file. */
  readonly size: number;
  /**
   * The storage of that key.
   * @param byteLength - what the pickle says of it
   * @returns undefined if the file has none
   */
  locate(key: string, byteLength: number): ArchiveEntry | undefined;
  /** Reads a part of an entry into memory of its own. The caller keeps start + length within the entry. */
  read(entry: ArchiveEntry, start: number, length: number, what: string): Uint8Array<ArrayBuffer>;
  /** Frees the file descriptor; a second call does nothing. */
  close(): void;
}
