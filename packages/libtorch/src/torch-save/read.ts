/**
 * Reading files that torch.save wrote (torch >= 1.6), without running pickled code.
 *
 * The layout was taken from torch/serialization.py (`_save`, `persistent_id`) and torch/_utils.py.
 */
import { FormatError } from '../errors.js';
import { TorchArchive } from './archive.js';
import { TorchEnvironment, type TorchSaveOptions } from './environment.js';
import { TorchStorage } from './storage.js';
import { PICKLE_LIMITS, Unpickler } from './unpickler.js';
import type { PickleValue } from './values.js';

/**
 * An open torch.save file. The structure is read when it is opened, the bytes of tensors when their
 * read() is called. Close it when done: tensors cannot be read after that.
 */
export class TorchSaveFile {
  private constructor(
    readonly path: string,
    /** What was saved, as plain JavaScript; see PickleValue. */
    readonly value: PickleValue,
    private readonly archive: TorchArchive,
  ) {}

  /**
   * @throws FormatError if the file is damaged, of another format (the message says how to convert it),
   *   or names a Python global that is not allowed
   * @throws the system's error (ENOENT, EACCES, ...) if it cannot be opened
   */
  static async open(path: string, options: TorchSaveOptions = {}): Promise<TorchSaveFile> {
    const archive = await TorchArchive.open(path);
    try {
      return new TorchSaveFile(path, parse(archive, options).value, archive);
    } catch (error) {
      archive.close();
      throw error;
    }
  }

  /** Bytes of the whole file. */
  get size(): number {
    return this.archive.size;
  }

  /** Frees the file descriptor; a second call does nothing. */
  close(): void {
    this.archive.close();
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
  const archive = await TorchArchive.open(path);
  try {
    const { value, environment } = parse(archive, options);
    for (const storage of environment.storages.values()) storage.load();
    return value;
  } finally {
    archive.close();
  }
}

function parse(
  archive: TorchArchive,
  options: TorchSaveOptions,
): { value: PickleValue; environment: TorchEnvironment } {
  const environment = new TorchEnvironment(archive, options);
  const entry = archive.entry('data.pkl');
  if (entry === undefined || entry.byteLength > PICKLE_LIMITS.bytes) {
    throw new FormatError(
      `${environment.where}: got a data.pkl of ${entry?.byteLength ?? 0} bytes, ` +
        `expected at most ${PICKLE_LIMITS.bytes}. Store large data as tensors.`,
    );
  }
  // Read like a storage, for the same check of its checksum.
  const pickle = new TorchStorage(archive, entry, 'data.pkl', options.checkCrc ?? true);
  const value = new Unpickler(pickle.read(0, entry.byteLength), environment).load();
  return { value, environment };
}
