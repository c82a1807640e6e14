/** One part of a data set of image files. */
import { join } from 'node:path';
import type { Preprocessing } from '../preparation/preprocessing.js';
import { type Box, drawCropBox } from './crop-box.js';
import { type CheckedHeader, originalOf } from './folder-headers.js';
import type { FoundPart } from './folder-layout.js';
import { type Framing, type ImageHeader, decodeInto, undecodable } from './image-decode.js';
import { Limiter } from './limit.js';
import { outOfRange } from './memory-split.js';
import { Random, Stage } from './random.js';
import {
  type CachedImage,
  CacheWriteError,
  type Original,
  type ResizedCache,
} from './resized-cache.js';
import type { ImageSplit, RandomCrop } from './types.js';

/**
 * Decodes handed to sharp's threads together. High, because nothing can be handed over while a
 * training step blocks the main thread: what is queued before is what the threads work on.
 */
const decodesAtOnce = 512;

/** Images decoded on demand; see `decodesAtOnce`. */
export class FolderSplit implements ImageSplit {
  readonly length: number;
  readonly #limiter = new Limiter(decodesAtOnce);
  readonly #labels: Int32Array;

  readonly #dir: string;
  readonly #part: FoundPart;
  readonly #headers: ReadonlyMap<string, CheckedHeader>;
  readonly #size: number;
  readonly #preprocessing: Preprocessing;
  readonly #cacheOf: () => ResizedCache | undefined;

  /** @param cacheOf - what random crops are cut out of, in place of the files */
  constructor(
    dir: string,
    part: FoundPart,
    headers: ReadonlyMap<string, CheckedHeader>,
    size: number,
    preprocessing: Preprocessing,
    cacheOf: () => ResizedCache | undefined,
  ) {
    this.#dir = dir;
    this.#part = part;
    this.#headers = headers;
    this.#size = size;
    this.#preprocessing = preprocessing;
    this.#cacheOf = cacheOf;
    this.length = part.paths.length;
    this.#labels = Int32Array.from(part.labels);
  }

  label(index: number): number {
    const label = this.#labels[index];
    if (label === undefined) throw outOfRange(index, this.length);
    return label;
  }

  /** As the model's images are prepared: what evaluation uses, and training without random crops. */
  read(indices: ArrayLike<number>): Promise<Uint8Array> {
    const framing: Framing = { kind: 'centre', preprocessing: this.#preprocessing };
    return this.#all(indices, (index, out) =>
      decodeInto(out, this.#pathOf(index), this.#originalOf(index), this.#input, framing),
    );
  }

  readCropped(indices: ArrayLike<number>, crop: RandomCrop): Promise<Uint8Array> {
    const random = new Random();
    const { interpolation } = this.#preprocessing;
    const framingOf = (index: number, { width, height }: ImageHeader): Framing => {
      random.seed(crop.seed, Stage.resizedCrop, crop.epoch, index);
      const box: Box = { left: 0, top: 0, width: 0, height: 0 };
      drawCropBox(random, width, height, crop.scale, crop.ratio, box);
      return { kind: 'box', box, interpolation, resize: crop.resize ?? 'libvips' };
    };
    const decode = (index: number, out: Uint8Array, image: CachedImage): Promise<void> =>
      decodeInto(out, image.path, image, this.#input, framingOf(index, image));
    const cache = this.#cacheOf();
    return this.#all(indices, async (index, out) => {
      const path = this.#pathOf(index);
      const original = this.#originalOf(index);
      if (cache === undefined) return decode(index, out, { ...original, path });
      const copy = await explained(path, () => cache.get(original));
      try {
        await decode(index, out, copy);
      } catch (error) {
        if (copy.path === path) throw error;
        await decode(index, out, await explained(path, () => cache.again(original)));
      }
    });
  }

  get #input(): { readonly channels: number; readonly size: number } {
    return { channels: 3, size: this.#size };
  }

  #pathOf(index: number): string {
    const path = this.#part.paths[index];
    if (path === undefined) throw outOfRange(index, this.length);
    return join(this.#dir, path);
  }

  #originalOf(index: number): Original {
    return originalOf(this.#part.paths[index] as string, this.#headers);
  }

  async #all(
    indices: ArrayLike<number>,
    decode: (index: number, out: Uint8Array) => Promise<void>,
  ): Promise<Uint8Array> {
    const bytes = 3 * this.#size * this.#size;
    const out = new Uint8Array(indices.length * bytes);
    const all = Array.from(indices, (index, i) => {
      if (this.#part.paths[index] === undefined) throw outOfRange(index, this.length);
      const target = out.subarray(i * bytes, (i + 1) * bytes);
      return this.#limiter.run(() => decode(index, target));
    });
    await Promise.all(all);
    return out;
  }
}

/** @throws DataError naming the image */
async function explained<T>(path: string, task: () => Promise<T>): Promise<T> {
  try {
    return await task();
  } catch (error) {
    throw error instanceof CacheWriteError ? error : undecodable(path, error);
  }
}
