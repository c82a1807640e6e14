// Reading files that torch.save wrote, without running pickled code: zip archives (torch >= 1.6), and the
// format before.
//
// The layout was taken from torch/serialization.py (`_save`, `persistent_id`) and torch/_utils.py.
import { closeSync } from 'node:fs';
import { FormatError } from '../errors.js';
import { kindOfFile } from '../files/kind.js';
import { openRegularFile } from '../files/read.js';
import { TorchArchive } from './archive.js';
import { TorchEnvironment, type TorchSaveOptions } from './environment.js';
import { LegacyFile } from './legacy.js';
import { TorchStorage } from './storage.js';
import type { StorageSource } from './source.js';
import { pickleLimits, Unpickler } from './unpickler.js';
import type { PickleValue } from './values.js';

interface Parsed {
  readonly value: PickleValue;
  readonly environment: TorchEnvironment;
  readonly source: StorageSource;
}

/**
 * An open torch.save file. The structure is read when it is opened, the bytes of tensors when their
 * read() is called. Close it when done: tensors cannot be read after that.
 */
export class TorchSaveFile {
  readonly path: string;
  /** What was saved, as plain JavaScript; see PickleValue. */
  readonly value: PickleValue;
  readonly #source: StorageSource;

  private constructor(path: string, value: PickleValue, source: StorageSource) {
    this.path = path;
    this.value = value;
    this.#source = source;
  }

  /**
   * @throws FormatError if the file is damaged, of another format (the message says which, and what to
   *   do), or names a Python global that is not allowed
   * @throws the system's error (ENOENT, EACCES, ...) if it cannot be opened
   */
  static async open(path: string, options: TorchSaveOptions = {}): Promise<TorchSaveFile> {
    const { value, source } = await parse(path, options);
    return new TorchSaveFile(path, value, source);
  }

  /** Bytes of the whole file. */
  get size(): number {
    return this.#source.size;
  }

  /** Frees the file descriptor; a second call does nothing. */
  close(): void {
    this.#source.close();
  }
}

/**
 * Reads a whole file: the structure, with every tensor's bytes in memory, so nothing stays open.
 *
 * @throws as TorchSaveFile.open
 */
export async function readTorchSaveFile(
  path: string,
  options: TorchSaveOptions = {},
): Promise<PickleValue> {
  const { value, environment, source } = await parse(path, options);
  try {
    for (const storage of environment.storages.values()) storage.load();
    return value;
  } finally {
    source.close();
  }
}

/** The caller closes the source. */
async function parse(path: string, options: TorchSaveOptions): Promise<Parsed> {
  const where = `readTorchSave "${path}"`;
  const { fd, size } = openRegularFile(path, where);
  const kind = (() => {
    try {
      return kindOfFile(fd, size, where);
    } catch (error) {
      closeSync(fd);
      throw error;
    }
  })();
  if (kind.format === 'torch-legacy') return parseLegacy(new LegacyFile(path, size, fd), options);
  // The reader of archives looks at the whole directory, and says what is wrong with it.
  if (kind.format === 'torch-zip' || kind.format === 'zip') {
    return parseArchive(path, fd, size, options);
  }
  closeSync(fd);
  throw new FormatError(
    `${where}: got ${kind.what}, expected a file that torch.save wrote. ${kind.advice}`,
  );
}

function parseLegacy(source: LegacyFile, options: TorchSaveOptions): Parsed {
  try {
    const environment = new TorchEnvironment(source, options);
    const value = source.parse(
      (part) => environment.forPart(part),
      (key) => environment.itemSize(key),
    );
    return { value, environment, source };
  } catch (error) {
    source.close();
    throw error;
  }
}

async function parseArchive(
  path: string,
  fd: number,
  size: number,
  options: TorchSaveOptions,
): Promise<Parsed> {
  const archive = await TorchArchive.from(path, fd, size);
  try {
    const environment = new TorchEnvironment(archive, options);
    const entry = archive.entry('data.pkl');
    if (entry === undefined || entry.byteLength > pickleLimits.bytes) {
      throw new FormatError(
        `${environment.where}: got a data.pkl of ${entry?.byteLength ?? 0} bytes, ` +
          `expected at most ${pickleLimits.bytes}. Store large data as tensors.`,
      );
    }
    // Read like a storage, for the same check of its checksum.
    const pickle = new TorchStorage(archive, entry, 'data.pkl', options.checkCrc ?? true);
    const value = new Unpickler(pickle.read(0, entry.byteLength), environment).load();
    return { value, environment, source: archive };
  } catch (error) {
    archive.close();
    throw error;
  }
}
