/**
 * Training images resized once and kept: photographs are often several times as large as what a random crop becomes, and
 * decoding them takes most of the time.
 *
 *     CACHE/resized-<folder, size, filter>/ab/<path, bytes and time of the original>.jpg
 *
 * A file's name says what it was made of, so a changed original has another one, and what belongs to no original is
 * deleted when the folder is opened. Files appear whole or not at all, and one that cannot be read is made again.
 */
import { createHash, randomBytes } from 'node:crypto';
import { readdirSync, rmSync, statSync } from 'node:fs';
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { innermostReasonOf } from '../errors.js';
import type { Interpolation } from '../preparation/preprocessing.js';
import { resizedTo } from '../preparation/geometry.js';
import { type ImageHeader, resizedJpeg } from './decode-picture.js';
import { DataError } from './errors.js';

/** An image as it is read: the resized copy, or the original where that is small. */
export interface CachedImage extends ImageHeader {
  readonly path: string;
}

/** Half-written files that are older belong to nobody. */
const abandonedMs = 24 * 3600 * 1000;

export class ResizedCache {
  readonly dir: string;
  readonly #root: string;
  readonly #side: number;
  readonly #interpolation: Interpolation;
  /** Names, with their two digits, of the copies that are there. */
  readonly #there = new Set<string>();
  readonly #making = new Map<string, Promise<void>>();

  /**
   * @param root - folder of the images
   * @param side - that the shorter side is resized to
   */
  constructor(cacheDir: string, root: string, side: number, interpolation: Interpolation) {
    const digest = digestOf(root, side, interpolation).slice(0, 16);
    this.dir = join(cacheDir, `resized-${digest}`);
    this.#root = root;
    this.#side = side;
    this.#interpolation = interpolation;
  }

  /** How many copies are there. */
  get size(): number {
    return this.#there.size;
  }

  /**
   * Finds what is there, and deletes what is made of no image of today's folder.
   * @param images - all that may be asked for
   */
  open(images: Iterable<Original>): void {
    const wanted = new Set<string>();
    for (const image of images) if (this.#isLarge(image)) wanted.add(this.#nameOf(image));
    for (const folder of namesIn(this.dir)) {
      if (!/^[0-9a-f]{2}$/.test(folder)) continue;
      for (const file of namesIn(join(this.dir, folder))) {
        const name = `${folder}/${file}`;
        if (wanted.has(name)) this.#there.add(name);
        else if (file.endsWith('.jpg') || isAbandoned(join(this.dir, name))) {
          removeIfPossible(join(this.dir, name));
        }
      }
    }
  }

  /**
   * The copy of an image, made if it is missing.
   * @throws DataError with the reason, without the image's name
   */
  async get(image: Original): Promise<CachedImage> {
    const path = join(this.#root, image.path);
    const { width, height, isPlain = false } = image;
    if (!this.#isLarge(image)) return { path, width, height, isPlain };
    const name = this.#nameOf(image);
    if (!this.#there.has(name)) await this.#make(image, name);
    return { path: join(this.dir, name), ...resizedTo(width, height, this.#side), isPlain: true };
  }

  /** As `get`, of a copy that turned out to be damaged or gone. */
  async again(image: Original): Promise<CachedImage> {
    this.#there.delete(this.#nameOf(image));
    return this.get(image);
  }

  /** Whether an image has a copy. */
  isCached = (image: Original): boolean => this.#isLarge(image);

  #isLarge({ width, height }: Original): boolean {
    return Math.min(width, height) > this.#side;
  }

  #nameOf({ path, bytes, modifiedMs }: Original): string {
    const digest = digestOf(path, bytes, modifiedMs).slice(0, 32);
    return `${digest.slice(0, 2)}/${digest.slice(2)}.jpg`;
  }

  /** Once, however many ask for it together. */
  #make(image: Original, name: string): Promise<void> {
    const before = this.#making.get(name);
    if (before) return before;
    const made = this.#write(image, join(this.dir, name)).then(() => {
      this.#there.add(name);
    });
    const ended = made.finally(() => this.#making.delete(name));
    this.#making.set(name, ended);
    return ended;
  }

  async #write(image: Original, target: string): Promise<void> {
    const size = resizedTo(image.width, image.height, this.#side);
    const bytes = await resizedJpeg(join(this.#root, image.path), image, size, this.#interpolation);
    const temporary = `${target}.${process.pid}-${randomBytes(4).toString('hex')}.tmp`;
    try {
      await mkdir(dirname(target), { recursive: true });
      // Not flushed, which would take longer than the decoding: what a power cut leaves is made again.
      await writeFile(temporary, bytes);
      await rename(temporary, target);
    } catch (error) {
      await rm(temporary, { force: true }).catch(() => undefined);
      throw new CacheWriteError(
        `${this.dir}: the resized copy of ${join(this.#root, image.path)} cannot be kept (${innermostReasonOf(error)}). Make room ` +
          'there, set XDG_CACHE_HOME to another folder, or leave `cachedSize` out in a new run.',
        { cause: error, file: target },
      );
    }
  }
}

/** Nothing is wrong with the image. */
export class CacheWriteError extends DataError {}

/** What is known of an image of the folder. */
export interface Original extends ImageHeader {
  /** Within the folder. */
  readonly path: string;
  readonly bytes: number;
  readonly modifiedMs: number;
}

const digestOf = (...parts: readonly (string | number)[]): string =>
  createHash('sha1').update(parts.join('\0')).digest('hex');

/** None where there is no folder, or none that may be read: whoever makes a copy there says so. */
function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

/** The cache may be somebody else's, to be read only: what is there too much does no harm. */
function removeIfPossible(file: string): void {
  try {
    rmSync(file, { force: true });
  } catch {
    // It stays.
  }
}

function isAbandoned(path: string): boolean {
  const modified = statSync(path, { throwIfNoEntry: false })?.mtimeMs;
  return modified !== undefined && Date.now() - modified > abandonedMs;
}
