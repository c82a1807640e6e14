// A file that has no name, for values that need not be in memory: nobody else can open or change it, and it ends with the
// process, however that ends.
import { randomUUID } from 'node:crypto';
import { closeSync, openSync, statfsSync, unlinkSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readExactly } from './read.js';

/** Linux's numbers of the file systems that are memory themselves: tmpfs and ramfs. */
const inMemory: ReadonlySet<number> = new Set([0x01021994, 0x858458f6]);

// The safety net for files that nobody closes.
const registry = new FinalizationRegistry<number>((fd) => {
  closeSync(fd);
});

export class PrivateFile {
  readonly #fd: number;

  private constructor(fd: number) {
    this.#fd = fd;
    registry.register(this, fd, this);
  }

  /**
   * Makes one in `TMPDIR` or, where that is not set, in /var/tmp or the system's folder for temporary files.
   * @returns undefined where none of these is on a disk and can be written
   */
  static create(environment: NodeJS.ProcessEnv = process.env): PrivateFile | undefined {
    const { TMPDIR: given } = environment;
    const folders = given === undefined || given === '' ? ['/var/tmp', tmpdir()] : [given];
    for (const folder of folders) {
      try {
        if (process.platform === 'linux' && inMemory.has(statfsSync(folder).type)) continue;
        return new PrivateFile(openWithoutName(folder));
      } catch {
        // The next one may do.
      }
    }
    return undefined;
  }

  /** @throws the system's error, as for a full disk */
  write(bytes: Uint8Array, position: number): void {
    for (let done = 0; done < bytes.length;) {
      done += writeSync(this.#fd, bytes, done, bytes.length - done, position + done);
    }
  }

  /**
   * @param into - at least `length` bytes
   * @param what - start of the message if it fails
   */
  read(position: number, length: number, into: Uint8Array<ArrayBuffer>, what: string): Uint8Array {
    return readExactly(this.#fd, position, length, what, into);
  }

  /** The disk has its room again. It cannot be used any more. */
  close(): void {
    registry.unregister(this);
    closeSync(this.#fd);
  }
}

function openWithoutName(folder: string): number {
  const path = join(folder, `mamba-prune-${randomUUID()}`);
  const fd = openSync(path, 'wx+', 0o600);
  try {
    unlinkSync(path);
  } catch (error) {
    closeSync(fd);
    throw error;
  }
  return fd;
}
