/** Data sets kept as image files: checked once, decoded whenever they are read. */
import { createHash } from 'node:crypto';
import { join, resolve } from 'node:path';
import { z } from 'zod';
import { checksOf } from '../checks.js';
import { dataLimits } from '../limits.js';
import { defaultCacheDir, readCache, writeCache } from './cache.js';
import { type Box, drawCropBox } from './crop-box.js';
import { DataError, reasonOf } from './errors.js';
import { printableLine } from '../printable.js';
import { named } from './folder-findings.js';
import { findImages, type FoundImages, type FoundPart } from './folder-layout.js';
import { noteSlowJpegs } from './image-addon.js';
import {
  checkImage,
  decodeFully,
  decodeInto,
  type Framing,
  type ImageHeader,
  jpegEnding,
  undecodable,
} from './image-decode.js';
import {
  type Interpolation,
  type Preprocessing,
  defaultPreprocessing,
  preprocessingProblem,
} from '../preparation/preprocessing.js';
import { forEachLimited, Limiter } from './limit.js';
import { type CachedImage, CacheWriteError, type Original, ResizedCache } from './resized-cache.js';
import { countLabels, outOfRange } from './memory-split.js';
import { Random, Stage } from './random.js';
import { statRegular } from './read-whole.js';
import type { Dataset, ImageSplit, OpenDatasetOptions, RandomCrop, VerifyReport } from './types.js';

/** Mean and deviation of ImageNet's training images, which pretrained models expect. */
const imagenetMean = [0.485, 0.456, 0.406];
const imagenetStd = [0.229, 0.224, 0.225];

/** What differs between data sets of this layout. */
export interface FolderSpec {
  readonly name: string;
  /** Side of the images, in pixels, where none is asked for. */
  readonly imageSize: number;
  /**
   * Whether a note says which parts beside train are not tested with. Of ImageNet and its like everybody knows that the
   * test images have no labels. Default `false`.
   */
  readonly saysWhatIsNotRead?: boolean;
}

const outOfRangeOption = (message: string): DataError => new DataError(message, { isUsage: true });

/** How many files are looked at together; sharp's threads decide how many really run. */
const checksAtOnce = 32;
/**
 * Decodes handed to sharp's threads together. High, because nothing can be handed over while a
 * training step blocks the main thread: what is queued before is what the threads work on.
 */
const decodesAtOnce = 512;

/** Opens a data set of image files; every file's header is checked, unchanged files only once. */
export async function openImageFolder(
  spec: FolderSpec,
  options: OpenDatasetOptions,
): Promise<Dataset> {
  const { name } = spec;
  const dir = requireDir(name, options);
  const size = options.imageSize ?? spec.imageSize;
  const { integer } = checksOf(`openDataset "${name}"`, outOfRangeOption);
  integer('imageSize', size, { min: 1, max: dataLimits.imageSize });
  if (options.cachedSize !== undefined) {
    const advice = 'Crops are cut out of the copies, which can be no smaller than the images.';
    integer('cachedSize', options.cachedSize, { min: size, max: dataLimits.imageSize }, { advice });
  }
  const problem = preprocessingProblem(options);
  if (problem !== undefined) throw new DataError(`openDataset "${name}": ${problem}`);
  const found = findImages(spec, dir);
  const { root } = found;
  for (const note of found.notes) options.onNote?.(note);
  if (found.train.paths.some((path) => jpegEnding.test(path))) noteSlowJpegs(options.onNote);
  const { headers, problems } = await checkAll(name, root, found, options);
  if (problems.length > 0) {
    const more = problems.length > named ? ` and ${problems.length - named} more` : '';
    throw new DataError(
      `openDataset "${name}": ${problems.length} of ${headers.size} images cannot be used: ` +
        `${problems.slice(0, named).map(printableLine).join('; ')}${more}. Replace or delete them.`,
      { file: dir },
    );
  }
  const prepared = (preprocessing: Preprocessing): Dataset => {
    const split = (part: FoundPart, cacheOf = (): ResizedCache | undefined => undefined) =>
      new FolderSplit(root, part, headers, size, preprocessing, cacheOf);
    return {
      info: {
        name,
        classes: found.classes,
        channels: 3,
        height: size,
        width: size,
        mean: imagenetMean,
        std: imagenetStd,
        dir,
        preprocessing,
      },
      train: split(found.train, () => cacheFor(preprocessing)),
      test: split(found.test),
      prepared,
    };
  };
  const caches = new Map<Interpolation, ResizedCache>();
  /** Opened when the first crop is asked for: what is only evaluated needs none. */
  function cacheFor({ interpolation }: Preprocessing): ResizedCache | undefined {
    const { cachedSize } = options;
    const before = caches.get(interpolation);
    if (cachedSize === undefined || before) return before;
    const cacheDir = options.cacheDir ?? defaultCacheDir();
    const cache = new ResizedCache(cacheDir, root, cachedSize, interpolation);
    const originals = found.train.paths.map((path) => originalOf(path, headers));
    cache.open(originals);
    caches.set(interpolation, cache);
    const large = originals.filter(cache.isCached).length;
    options.onNote?.(
      `${name}: ${cache.size} of ${large} large training images are in ${cache.dir}, with a shorter side of ` +
        `${cachedSize} pixels. The others are put there when they are first read.`,
    );
    return cache;
  }
  const usual = defaultPreprocessing(name);
  const { interpolation = usual.interpolation, cropShare = usual.cropShare } = options;
  return prepared({ interpolation, cropShare });
}

/** Decodes every image in full. */
export async function verifyImageFolder(
  spec: FolderSpec,
  options: OpenDatasetOptions,
): Promise<VerifyReport> {
  const { name } = spec;
  const dir = requireDir(name, options);
  const found = findImages(spec, dir);
  const paths = [...found.train.paths, ...found.test.paths];
  const faults = new Map<string, string>();
  let done = 0;
  // 8, not more: each holds a whole decoded image.
  await forEachLimited(paths.length, 8, async (i) => {
    const path = join(found.root, paths[i] as string);
    try {
      await checkImage(path, statRegular(path).size);
      await decodeFully(path);
    } catch (error) {
      faults.set(path, reasonOf(error));
    }
    options.onProgress?.(++done, paths.length);
  });
  const problems = [...faults].map(([path, reason]) => `${path}: ${reason}`).sort();
  return {
    name,
    dir,
    ok: problems.length === 0,
    classes: found.classes,
    counts: {
      train: countLabels(found.train.labels, found.classes.length),
      test: countLabels(found.test.labels, found.classes.length),
    },
    files: [],
    problems,
    notes: found.notes,
  };
}

function requireDir(name: string, options: OpenDatasetOptions): string {
  if (options.dir !== undefined && options.dir !== '') return resolve(options.dir);
  throw new DataError(
    `openDataset "${name}": got no folder, expected one with train/CLASS/IMAGE and ` +
      'val/CLASS/IMAGE. Give its path (`dir`).',
    { isUsage: true },
  );
}

/** [bytes, modified (ms), width, height, 1 if plain (see ImageHeader)] */
type Checked = [number, number, number, number, number];
const CheckedFiles = z.object({
  // 1 had the sizes of pictures that were not upright, and trusted files that are checked more closely now; 2 those of
  // pictures turned by an orientation that does not count.
  version: z.literal(3),
  files: z.record(
    z.string(),
    z.tuple([z.number(), z.number(), z.number(), z.number(), z.number()]),
  ),
});

async function checkAll(
  name: string,
  dir: string,
  found: FoundImages,
  options: OpenDatasetOptions,
): Promise<{ headers: Map<string, Checked>; problems: string[] }> {
  const digest = createHash('sha1').update(dir).digest('hex').slice(0, 16);
  const cachePath = join(options.cacheDir ?? defaultCacheDir(), `listing-${digest}.bin`);
  const cache = readCache(cachePath);
  const parsed = cache.state === 'ok' ? CheckedFiles.safeParse(cache.content.header) : undefined;
  const known = new Map(Object.entries(parsed?.success ? parsed.data.files : {}));

  const paths = [...found.train.paths, ...found.test.paths];
  const headers = new Map<string, Checked>();
  const faults = new Map<string, string>();
  let done = 0;
  let fresh = 0;
  await forEachLimited(paths.length, checksAtOnce, async (i) => {
    const path = paths[i] as string;
    const full = join(dir, path);
    try {
      const { size, mtimeMs } = statRegular(full);
      const before = known.get(path);
      if (before?.[0] === size && before[1] === mtimeMs) headers.set(path, before);
      else {
        headers.set(path, [size, mtimeMs, 0, 0, 0]);
        const { width, height, isPlain = false } = await checkImage(full, size);
        headers.set(path, [size, mtimeMs, width, height, Number(isPlain)]);
        fresh++;
      }
    } catch (error) {
      headers.set(path, [0, 0, 0, 0, 0]);
      faults.set(path, reasonOf(error));
    }
    if (++done % 100 === 0 || done === paths.length) options.onProgress?.(done, paths.length);
  });
  if (fresh > 0 || known.size !== headers.size) {
    const good = [...headers].filter(([path]) => !faults.has(path));
    try {
      writeCache(cachePath, { version: 3, files: Object.fromEntries(good) }, []);
    } catch (error) {
      options.onNote?.(
        `${name}: the cache ${cachePath} cannot be written (${reasonOf(error)}); ` +
          'the images are checked again on the next start.',
      );
    }
  }
  const problems = paths
    .filter((path) => faults.has(path))
    .map((path) => `${join(dir, path)} (${faults.get(path) ?? ''})`);
  return { headers, problems };
}

function originalOf(path: string, headers: ReadonlyMap<string, Checked>): Original {
  const [bytes, modifiedMs, width, height, plain] = headers.get(path) ?? [0, 0, 0, 0, 0];
  return { path, bytes, modifiedMs, width, height, isPlain: plain === 1 };
}

/** Images decoded on demand; see `decodesAtOnce`. */
class FolderSplit implements ImageSplit {
  readonly length: number;
  readonly #limiter = new Limiter(decodesAtOnce);
  readonly #labels: Int32Array;

  readonly #dir: string;
  readonly #part: FoundPart;
  readonly #headers: ReadonlyMap<string, Checked>;
  readonly #size: number;
  readonly #preprocessing: Preprocessing;
  readonly #cacheOf: () => ResizedCache | undefined;

  /** @param cacheOf - what random crops are cut out of, in place of the files */
  constructor(
    dir: string,
    part: FoundPart,
    headers: ReadonlyMap<string, Checked>,
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
