// The entries of a .tar or .tar.gz, in no more time and memory than its files may take.
import { type FileHandle, open } from 'node:fs/promises';
import { createGunzip } from 'node:zlib';
import { Parser, type ReadEntry } from 'tar';
import { DataError } from './errors.js';

/** Bytes at a time. */
const chunk = 256 * 1024;

/** Of a head, of what fills up the last part of a file, and of the end mark's halves. */
const block = 512;

/** As gzip begins, and tar cannot: there stands a name. */
const gzip = Buffer.from([0x1f, 0x8b]);

export interface TarOptions {
  /** Unpacked bytes, heads and padding included, beyond which the reading ends with an error. */
  readonly most: number;
}

/**
 * Calls `visit` with every entry; whatever it throws ends the reading at once. The files end where tar's end
 * mark stands. What follows is not parsed, but unpacked as far as `most`, because the checksum of gzip
 * stands behind it; an archive that goes on for longer is left without.
 *
 * The parser of the package can unpack too, but does so behind the end mark as well, and copies all that has
 * come since with every further piece.
 *
 * @returns how many bytes the parser was given
 * @throws DataError if there is no file in it, or too much; what zlib, tar or the system throw
 */
export async function eachTarEntry(
  path: string,
  { most }: TarOptions,
  visit: (entry: ReadEntry) => void,
): Promise<number> {
  const parsing = new Parsing(visit);
  const file = await open(path);
  try {
    let total = 0;
    for await (const chunk of await plainBytes(file)) {
      total += chunk.length;
      if (total > most) {
        if (parsing.isAtEnd) break;
        throw new DataError(`it unpacks to more than the ${most} bytes that its files may take`);
      }
      if (!parsing.isAtEnd) parsing.feed(chunk);
    }
    await parsing.end();
  } finally {
    await file.close();
  }
  return parsing.fed;
}

async function plainBytes(file: FileHandle): Promise<AsyncIterable<Buffer>> {
  const { buffer } = await file.read(Buffer.alloc(gzip.length), 0, gzip.length, 0);
  // Closed by whoever opened the file, after the stream was left.
  const source = file.createReadStream({ start: 0, highWaterMark: chunk, autoClose: false });
  if (!buffer.equals(gzip)) return source;
  const gunzip = createGunzip({ chunkSize: chunk });
  source.on('error', (error) => gunzip.destroy(error));
  gunzip.on('close', () => source.destroy());
  return source.pipe(gunzip);
}

/** One pass of the parser, whose events become results and errors here. */
class Parsing {
  /** Bytes that the parser was given. */
  fed = 0;
  /** Whether the end mark was seen. */
  isAtEnd = false;
  #entries = 0;
  #beginning: Buffer | undefined = Buffer.alloc(0);
  #error: Error | undefined;
  readonly #parser: Parser;
  readonly #ended: Promise<void>;

  constructor(visit: (entry: ReadEntry) => void) {
    this.#parser = new Parser({
      strict: true,
      // What it takes for a compressed archive it would unpack without end.
      brotli: false,
      zstd: false,
      onReadEntry: (entry) => {
        if (this.#error) return; // What was given already when the reading ended.
        this.#entries++;
        try {
          visit(entry);
        } catch (error) {
          this.#fail(error);
        }
      },
    });
    this.#ended = new Promise((resolve) => {
      this.#parser.on('end', resolve);
      this.#parser.on('error', (error: unknown) => {
        this.#fail(error);
        resolve();
      });
    });
    this.#parser.on('eof', () => {
      this.isAtEnd = true;
    });
  }

  #fail(error: unknown): void {
    this.#error ??= error instanceof Error ? error : new Error(String(error));
  }

  /** @throws what `visit` threw, or the parser's error; DataError if it ends without an entry */
  feed(chunk: Buffer): void {
    if (!this.#beginning) {
      this.#write(chunk);
      return;
    }
    // By its first bytes the parser takes an archive for a compressed one: they have to be seen together.
    const beginning = Buffer.concat([this.#beginning, chunk]);
    this.#beginning = beginning.length < block ? beginning : undefined;
    if (!this.#beginning) this.#writeFirst(beginning);
  }

  #writeFirst(beginning: Buffer): void {
    if (beginning.subarray(0, gzip.length).equals(gzip)) {
      throw new DataError('it is compressed twice, expected a tar archive, plain or in gzip');
    }
    this.#write(beginning);
  }

  #write(chunk: Buffer): void {
    this.fed += chunk.length;
    // Entries are read or passed over as they come, so that nothing has to be waited for.
    this.#parser.write(chunk);
    if (this.#error) throw this.#error;
    if (this.isAtEnd && this.#entries === 0) throw new DataError('it holds no files');
  }

  /** After the last chunk. @throws as `feed` */
  async end(): Promise<void> {
    if (this.#beginning) this.#writeFirst(this.#beginning);
    this.#parser.end();
    if (!this.#error) await this.#ended;
    if (this.#error) throw this.#error;
  }
}
