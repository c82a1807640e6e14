/**
 * Opens CIFAR-10 and CIFAR-100. Binary version: records of 1 or 2 label bytes and 3,072 pixel bytes
 * (1,024 red, 1,024 green, 1,024 blue, row by row), which is the planar layout used here. Python version:
 * the same pixels in pickles (cifar-python.ts).
 */
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { FormatError } from '@mamba-prune/libtorch';
import {
  bytesOf,
  type CifarFile,
  type CifarLocation,
  expectedFiles,
  findCifar,
  imagePixels,
  readCifarArchive,
  readCifarFile,
  redo,
  side,
} from './cifar-files.js';
import { checksumOfFile } from '../files/checksum.js';
import type { CifarSpec } from './cifar-spec.js';
import { defaultPreprocessing } from '../preparation/preprocessing.js';
import { readPythonBatch, readPythonNames } from './cifar-python.js';
import { DataError, dataError, reasonOf } from './errors.js';
import { countLabels, MemorySplit } from './memory-split.js';
import { printableLine } from '../printable.js';
import type { Dataset, OpenDatasetOptions, VerifyReport } from './types.js';

/** Opens the data set in memory (180 MB). Every size and label is checked first. */
export async function openCifar(spec: CifarSpec, options: OpenDatasetOptions): Promise<Dataset> {
  const dir = requireDir(spec, options);
  const { train, test, problems, notes } = await load(spec, dir);
  const [problem] = problems;
  if (problem) throw new DataError(`openDataset "${spec.name}": ${problem.text}`, problem);
  for (const note of notes) options.onNote?.(note);
  const split = (part: Records) => new MemorySplit(part.images, part.labels, imagePixels);
  return {
    info: {
      name: spec.name,
      classes: spec.classes,
      channels: 3,
      height: side,
      width: side,
      mean: spec.mean,
      std: spec.std,
      dir: resolve(dir),
      preprocessing: defaultPreprocessing(spec.name),
    },
    train: split(train),
    test: split(test),
  };
}

/** Checks every file, label and class count, and the archive's checksum if it lies beside. */
export async function verifyCifar(
  spec: CifarSpec,
  options: OpenDatasetOptions,
): Promise<VerifyReport> {
  const dir = requireDir(spec, options);
  const { location, train, test, problems, files, notes } = await load(spec, dir);
  const texts = problems.map(({ text }) => text);
  const counts = {
    train: countLabels(train.labels, spec.classes.length),
    test: countLabels(test.labels, spec.classes.length),
  };
  if (problems.length === 0) {
    texts.push(...unevenClasses(spec, location, 'train', counts.train, train.labels.length));
    texts.push(...unevenClasses(spec, location, 'test', counts.test, test.labels.length));
  }
  const { archive, md5: expected } = location.version;
  const path = location.kind === 'archive' ? location.path : join(dir, archive);
  if (existsSync(path)) {
    const { value: md5 } = await checksumOfFile(path, 'md5', dataError);
    if (md5 !== expected) {
      texts.push(`${path}: got md5 ${md5}, expected ${expected}. ${redo(spec, location)}`);
    }
  }
  return {
    name: spec.name,
    dir,
    ok: texts.length === 0,
    classes: spec.classes,
    counts,
    files,
    problems: texts,
    notes,
  };
}

function requireDir(spec: CifarSpec, options: OpenDatasetOptions): string {
  if (options.dir !== undefined && options.dir !== '') return options.dir;
  throw new DataError(
    `openDataset "${spec.name}": got no folder, expected the one with ${spec.folder} or ${spec.python.folder}. ` +
      `Give its path (\`dir\`).`,
    { isUsage: true },
  );
}

interface Records {
  images: Uint8Array;
  labels: Uint8Array;
}
interface Problem {
  text: string;
  file: string;
}
interface Loaded {
  location: CifarLocation;
  train: Records;
  test: Records;
  problems: Problem[];
  files: { path: string; bytes: number }[];
  notes: string[];
}

async function load(spec: CifarSpec, dir: string): Promise<Loaded> {
  const { location, other } = findCifar(spec, dir);
  const problems: Problem[] = [];
  const files: Loaded['files'] = [];
  const contents = location.kind === 'archive' ? await readCifarArchive(spec, location) : undefined;

  /** The bytes of a file, or a problem in its place. */
  const read = (file: CifarFile): Buffer | undefined => {
    const path = join(location.path, file.name);
    try {
      const bytes = contents ? contents.get(file.name) : readCifarFile(spec, location, file);
      contents?.delete(file.name); // 30 to 150 MB each: do not hold them longer than needed
      if (bytes === undefined) throw new Error('the archive does not contain it');
      files.push({ path, bytes: bytes.length });
      return bytes;
    } catch (error) {
      const isWhole = error instanceof DataError && error.file !== undefined;
      const text = isWhole
        ? error.message
        : `${path}: cannot be read (${reasonOf(error)}). ${redo(spec, location)}`;
      problems.push({ text, file: path });
      return undefined;
    }
  };
  const expected = new Map(expectedFiles(spec, location).map((file) => [file.name, file]));
  const part = (names: readonly string[], perFile: number): Records => {
    const images = new Uint8Array(names.length * perFile * imagePixels);
    const labels = new Uint8Array(names.length * perFile);
    names.forEach((name, i) => {
      const bytes = read(expected.get(name) ?? { name, most: bytesOf(spec, perFile) });
      if (bytes === undefined) return;
      const path = join(location.path, name);
      const text = unpack(spec, location, path, bytes, perFile, {
        images: images.subarray(i * perFile * imagePixels),
        labels: labels.subarray(i * perFile),
      });
      if (text !== undefined) problems.push({ text, file: path });
    });
    return { images, labels };
  };
  const train = part(location.version.train, spec.recordsPerTrainFile);
  const test = part(location.version.test, spec.recordsPerTestFile);
  const isThere = (name: string) => contents?.has(name) ?? existsSync(join(location.path, name));
  if (location.isPython && isThere(location.version.meta)) {
    const { meta, names } = location.version;
    const bytes = read(expected.get(meta) ?? { name: meta, most: 0 });
    const text = bytes && wrongNames(spec, location, bytes, names, join(location.path, meta));
    if (text !== undefined) problems.push({ text, file: join(location.path, meta) });
  }
  const notes = other
    ? [`${spec.name}: reads ${location.path}; the other version in ${other.path} is not read.`]
    : [];
  return { location, train, test, problems, files, notes };
}

/** Copies records out of one file; returns the first thing wrong with them. */
function unpack(
  spec: CifarSpec,
  location: CifarLocation,
  path: string,
  bytes: Buffer,
  count: number,
  out: Records,
): string | undefined {
  const { length } = spec.classes;
  if (location.isPython) {
    try {
      const { images, labels } = readPythonBatch(bytes, location.version.labels, count, length);
      out.images.set(images);
      out.labels.set(labels);
      return undefined;
    } catch (error) {
      return badPickle(spec, location, path, error);
    }
  }
  const stride = spec.labelBytes + imagePixels;
  for (let r = 0; r < count; r++) {
    const at = r * stride + spec.labelBytes;
    const label = bytes[at - 1] as number;
    if (label >= length) {
      return `${path}: record ${r}: got label ${label}, expected 0 to ${length - 1}. ${redo(spec, location)}`;
    }
    out.labels[r] = label;
    out.images.set(bytes.subarray(at, at + imagePixels), r * imagePixels);
  }
  return undefined;
}

/** @throws what is no finding about the file */
function badPickle(spec: CifarSpec, location: CifarLocation, path: string, error: unknown): string {
  if (!(error instanceof DataError || error instanceof FormatError)) throw error;
  return (
    `${path}: got something else than a file of ${spec.title}'s python version (${error.message}). ` +
    redo(spec, location)
  );
}

/** Other names mean another data set: every label would be told wrong. */
function wrongNames(
  spec: CifarSpec,
  location: CifarLocation,
  bytes: Buffer,
  key: string,
  path: string,
): string | undefined {
  try {
    const names = readPythonNames(bytes, key);
    const index = spec.classes.findIndex((name, i) => names[i] !== name);
    if (index < 0 && names.length === spec.classes.length) return undefined;
    throw new DataError(
      index < 0
        ? `"${key}" has ${names.length} names, expected ${spec.classes.length}`
        : `class ${index} is called "${printableLine(names[index] ?? '')}", expected "${spec.classes[index] ?? ''}"`,
    );
  } catch (error) {
    return badPickle(spec, location, path, error);
  }
}

function unevenClasses(
  spec: CifarSpec,
  location: CifarLocation,
  part: string,
  counts: readonly number[],
  total: number,
): string[] {
  const expected = total / spec.classes.length;
  const again = redo(spec, location).replace('Delete it', `Delete the ${location.kind}`);
  return counts.flatMap((count, label) =>
    count === expected
      ? []
      : `${part}: got ${count} images of class ${label} (${spec.classes[label] ?? ''}), ` +
        `expected ${expected}. ${again}`,
  );
}
