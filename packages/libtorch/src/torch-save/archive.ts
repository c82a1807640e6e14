// The zip archive that torch.save writes (torch >= 1.6): every entry stored, not compressed, under one
// folder named after the file:
//   <root>/data.pkl     the pickled structure            <root>/data/<key>   bytes of one storage each
//   <root>/version      format version, text             <root>/byteorder    "little" or "big" (torch >= 2.1)
// Only the zip directory is read here; entries are read by position when they are needed.
import { closeSync } from 'node:fs';
import yauzl from 'yauzl';
import { FormatError } from '../errors.js';
import { readExactly } from '../files/read.js';
import { describeZip, torchRoots } from '../files/zip-names.js';
import { quoted } from '../safetensors/header.js';
import type { ArchiveEntry, StorageSource } from './source.js';

/** An open archive; close it when done. */
export class TorchArchive implements StorageSource {
  readonly path: string;
  /** Bytes of the whole file. */
  readonly size: number;
  readonly #entries: ReadonlyMap<string, ArchiveEntry>;
  readonly #root: string;
  #fd: number | undefined;

  private constructor(
    path: string,
    size: number,
    entries: ReadonlyMap<string, ArchiveEntry>,
    root: string,
    fd: number | undefined,
  ) {
    this.path = path;
    this.size = size;
    this.#entries = entries;
    this.#root = root;
    this.#fd = fd;
  }

  /**
   * Takes over an open file, and closes it if it cannot be read.
   * @throws FormatError if the file is no torch.save archive, or one of a kind that is not read here
   */
  static async from(path: string, fd: number, size: number): Promise<TorchArchive> {
    const where = `readTorchSave "${path}"`;
    try {
      const { entries, unreadable } = await readDirectory(fd, size, where);
      const root = findRoot(entries, where);
      if (unreadable !== undefined) {
        throw new FormatError(
          `${where}: got ${unreadable}, expected every entry as it is: torch.save never compresses. ` +
            'The archive was packed again. Convert it once with Python: ' +
            'torch.save(torch.load("old.pt", map_location="cpu"), "new.pt").',
        );
      }
      const archive = new TorchArchive(path, size, entries, root, fd);
      archive.#checkByteOrder(where);
      return archive;
    } catch (error) {
      closeSync(fd);
      throw error;
    }
  }

  /** The entry of that name below the root folder. */
  entry(name: string): ArchiveEntry | undefined {
    return this.#entries.get(`${this.#root}${name}`);
  }

  locate(key: string): ArchiveEntry | undefined {
    return this.entry(`data/${key}`);
  }

  /** Reads a part of an entry into memory of its own. The caller keeps start + length within the entry. */
  read(entry: ArchiveEntry, start: number, length: number, what: string): Uint8Array<ArrayBuffer> {
    if (this.#fd === undefined) {
      throw new FormatError(`${what}: the file is closed. Read before close().`);
    }
    return readExactly(this.#fd, entry.position + start, length, what);
  }

  /** Frees the file descriptor; a second call does nothing. */
  close(): void {
    if (this.#fd === undefined) return;
    closeSync(this.#fd);
    this.#fd = undefined;
  }

  #checkByteOrder(where: string): void {
    const entry = this.entry('byteorder');
    if (entry === undefined) return; // Written before torch 2.1: the writer's order, in practice little.
    const bytes = this.read(entry, 0, Math.min(entry.byteLength, 16), where);
    const order = Buffer.from(bytes).toString('latin1');
    if (order !== 'little') {
      throw new FormatError(
        `${where}: got byte order ${JSON.stringify(order)}, expected "little". ` +
          'Save it again on a little-endian machine (x86, ARM).',
      );
    }
  }
}

/**
 * Gives the zip library bytes of our descriptor. It reads synchronously and reports every failure
 * through the callback: an exception out of an asynchronous read would end the process.
 */
class DescriptorReader extends yauzl.RandomAccessReader {
  readonly #fd: number;
  readonly #size: number;
  readonly #where: string;

  constructor(fd: number, size: number, where: string) {
    super();
    this.#fd = fd;
    this.#size = size;
    this.#where = where;
  }

  override read(
    buffer: Buffer,
    offset: number,
    length: number,
    position: number,
    callback: (error: Error | null, bytesRead?: number) => void,
  ): void {
    try {
      if (position < 0 || position + length > this.#size) {
        throw new Error('its zip directory points behind the end of the file');
      }
      buffer.set(readExactly(this.#fd, position, length, this.#where), offset);
    } catch (error) {
      callback(error as Error);
      return;
    }
    callback(null, length);
  }
}

async function readDirectory(
  fd: number,
  size: number,
  where: string,
): Promise<{ entries: Map<string, ArchiveEntry>; unreadable: string | undefined }> {
  const entries = new Map<string, ArchiveEntry>();
  // Reported later, when the names have shown what kind of archive it is (TorchScript compresses code).
  let unreadable: string | undefined;
  let total = 0;
  try {
    const reader = new DescriptorReader(fd, size, where);
    const zip = await yauzl.fromRandomAccessReaderPromise(reader, size, { autoClose: false });
    zip.on('error', () => undefined); // eachEntry() rejects; without a listener Node would throw as well.
    for await (const entry of zip.eachEntry()) {
      if (entries.has(entry.fileName)) throw new Error(`two entries ${quoted(entry.fileName)}`);
      const { fileDataStart } = await zip.readLocalFileHeaderPromise(entry, { minimal: true });
      if (entry.isEncrypted() || entry.compressionMethod !== 0) {
        unreadable ??= `the ${entry.isEncrypted() ? 'encrypted' : 'compressed'} entry ${quoted(entry.fileName)}`;
      }
      total += entry.compressedSize;
      // Entries that share bytes would make a small file ask for any amount of memory.
      if (total > size) throw new Error('its entries overlap');
      entries.set(entry.fileName, {
        position: fileDataStart,
        byteLength: entry.compressedSize,
        crc32: entry.crc32,
      });
    }
  } catch (error) {
    if (error instanceof FormatError) throw error;
    throw new FormatError(
      `${where}: not an intact zip archive: ${firstSentence((error as Error).message)}. ` +
        'The file is truncated, damaged or was not written by torch.save.',
      { cause: error },
    );
  }
  return { entries, unreadable };
}

/** The zip library goes on with guesses, and shows bytes of signatures. */
function firstSentence(text: string): string {
  return text.split(/[.?](?:\s|$)/, 1)[0] ?? text;
}

/** The folder that holds data.pkl, with its slash. */
function findRoot(entries: ReadonlyMap<string, ArchiveEntry>, where: string): string {
  const names = [...entries.keys()];
  const roots = torchRoots(names);
  const [root] = roots;
  const { format, what, advice } = describeZip(names);
  if (format === 'torch-zip' && root !== undefined) return root;
  throw new FormatError(
    `${where}: got ${what}, expected one entry <folder>/data.pkl, as torch.save writes it` +
      `${roots.length > 1 ? `, and not ${roots.length}` : ''}. ${advice}`,
  );
}
