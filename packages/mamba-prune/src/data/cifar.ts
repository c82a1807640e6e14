/**
 * Opens CIFAR-10 and CIFAR-100, binary version: records of 1 or 2 label bytes and 3,072 pixel bytes
 * (1,024 red, 1,024 green, 1,024 blue, row by row), which is the planar layout used here.
 */
import { existsSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { CifarSpec } from './cifar-spec.js';
import { defaultPreprocessing } from '../preparation/preprocessing.js';
import { DataError, reasonOf } from './errors.js';
import { md5OfFile } from './md5.js';
import { countLabels, MemorySplit } from './memory-split.js';
import { readWhole, statRegular } from './read-whole.js';
import { eachTarEntry } from './tar-entries.js';
import type { Dataset, OpenDatasetOptions, VerifyReport } from './types.js';

const SIDE = 32;
const PIXELS = 3 * SIDE * SIDE;

/** Where the records are: a folder of .bin files or the archive as downloaded. */
type Location = { kind: 'folder'; path: string } | { kind: 'archive'; path: string };

/** Opens the data set in memory (180 MB). Every size and label is checked first. */
export async function openCifar(spec: CifarSpec, options: OpenDatasetOptions): Promise<Dataset> {
  const { train, test, problems } = await load(spec, requireDir(spec, options));
  const [problem] = problems;
  if (problem) throw new DataError(`openDataset "${spec.name}": ${problem.text}`, problem);
  const split = (part: Records) => new MemorySplit(part.images, part.labels, PIXELS);
  return {
    info: {
      name: spec.name,
      classes: spec.classes,
      channels: 3,
      height: SIDE,
      width: SIDE,
      mean: spec.mean,
      std: spec.std,
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
  const { train, test, problems, files } = await load(spec, dir);
  const texts = problems.map(({ text }) => text);
  const counts = {
    train: countLabels(train.labels, spec.classes.length),
    test: countLabels(test.labels, spec.classes.length),
  };
  if (problems.length === 0) {
    texts.push(...unevenClasses(spec, 'train', counts.train, train.labels.length));
    texts.push(...unevenClasses(spec, 'test', counts.test, test.labels.length));
  }
  const archive = join(dir, spec.archive);
  if (existsSync(archive)) {
    const md5 = await md5OfFile(archive);
    if (md5 !== spec.md5) {
      texts.push(`${archive}: got md5 ${md5}, expected ${spec.md5}. ${redo(spec)}`);
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
    notes: [],
  };
}

function requireDir(spec: CifarSpec, options: OpenDatasetOptions): string {
  if (options.dir !== undefined && options.dir !== '') return options.dir;
  throw new DataError(
    `openDataset "${spec.name}": got no folder, expected the one with ${spec.folder}. ` +
      `Give its path (--data DIR).`,
    { isUsage: true },
  );
}

const redo = (spec: CifarSpec): string =>
  `Delete it and run "mamba-prune data get ${spec.name}" again.`;

/** Of a file with so many records. */
const bytesOf = (spec: CifarSpec, records: number): number => records * (spec.labelBytes + PIXELS);

const wrongSize = (spec: CifarSpec, path: string, got: number, expected: number): string =>
  `${path}: got ${got} bytes, expected ${expected}. ${redo(spec)}`;

interface Records {
  images: Uint8Array;
  labels: Uint8Array;
}
interface Problem {
  text: string;
  file: string;
}

async function load(
  spec: CifarSpec,
  dir: string,
): Promise<{
  train: Records;
  test: Records;
  problems: Problem[];
  files: { path: string; bytes: number }[];
}> {
  const location = locate(spec, dir);
  const problems: Problem[] = [];
  const files: { path: string; bytes: number }[] = [];
  const contents =
    location.kind === 'archive' ? await readArchive(spec, location.path) : new Map<string, Buffer>();

  const part = (names: readonly string[], perFile: number): Records => {
    const images = new Uint8Array(names.length * perFile * PIXELS);
    const labels = new Uint8Array(names.length * perFile);
    names.forEach((name, i) => {
      const path = join(location.path, name);
      let bytes: Buffer | undefined;
      try {
        const expected = bytesOf(spec, perFile);
        if (location.kind === 'folder') {
          const { size } = statRegular(path);
          if (size !== expected) {
            problems.push({ text: wrongSize(spec, path, size, expected), file: path });
            return;
          }
        }
        bytes = location.kind === 'archive' ? contents.get(name) : readWhole(path, expected);
        contents.delete(name); // 30 to 150 MB each: do not hold them longer than needed
        if (bytes === undefined) throw new Error('the archive does not contain it');
      } catch (error) {
        const text = `${path}: cannot be read (${reasonOf(error)}). ${redo(spec)}`;
        problems.push({ text, file: path });
        return;
      }
      files.push({ path, bytes: bytes.length });
      const text = unpack(spec, path, bytes, perFile, {
        images: images.subarray(i * perFile * PIXELS),
        labels: labels.subarray(i * perFile),
      });
      if (text !== undefined) problems.push({ text, file: path });
    });
    return { images, labels };
  };
  const train = part(spec.train, spec.recordsPerTrainFile);
  const test = part(spec.test, spec.recordsPerTestFile);
  return { train, test, problems, files };
}

/** Copies records out of one file; returns the first thing wrong with them. */
function unpack(
  spec: CifarSpec,
  path: string,
  bytes: Buffer,
  count: number,
  out: Records,
): string | undefined {
  const stride = spec.labelBytes + PIXELS;
  for (let r = 0; r < count; r++) {
    const at = r * stride + spec.labelBytes;
    const label = bytes[at - 1] as number;
    if (label >= spec.classes.length) {
      return (
        `${path}: record ${r}: got label ${label}, expected 0 to ${spec.classes.length - 1}. ` +
        redo(spec)
      );
    }
    out.labels[r] = label;
    out.images.set(bytes.subarray(at, at + PIXELS), r * PIXELS);
  }
  return undefined;
}

function locate(spec: CifarSpec, dir: string): Location {
  const first = spec.train[0] ?? '';
  const folders = [join(dir, spec.folder), dir];
  // A folder counts as soon as one of its files is there, so that a missing one is named.
  for (const folder of folders) {
    if ([...spec.train, ...spec.test].some((name) => existsSync(join(folder, name)))) {
      return { kind: 'folder', path: folder };
    }
  }
  for (const path of [join(dir, spec.archive), dir]) {
    if (basename(path) === spec.archive && existsSync(path) && statSync(path).isFile()) {
      return { kind: 'archive', path };
    }
  }
  throw new DataError(
    `openDataset "${spec.name}": found no ${spec.title} binary version in ${dir}, expected ` +
      `${spec.folder}/${first} or ${spec.archive}. ` +
      `Run "mamba-prune data get ${spec.name} --data ${dir}" or download ${spec.url} into it.`,
    { file: dir },
  );
}

/** Of what else the archives hold, a page and a list of names, with room to spare. */
const OTHER_BYTES = 16 * 1024 ** 2;

/**
 * The .bin files of a .tar.gz, in memory. What an entry says of its size is looked at before its bytes are:
 * a small archive can unpack to any number of them.
 */
async function readArchive(spec: CifarSpec, path: string): Promise<Map<string, Buffer>> {
  const expected = new Map([
    ...spec.train.map((name): [string, number] => [name, bytesOf(spec, spec.recordsPerTrainFile)]),
    ...spec.test.map((name): [string, number] => [name, bytesOf(spec, spec.recordsPerTestFile)]),
  ]);
  const found = new Map<string, Buffer>();
  let others = 0;
  // The heads of entries and what fills up their last blocks count here, and not among the other bytes.
  const most = Array.from(expected.values()).reduce((sum, n) => sum + n, 2 * OTHER_BYTES);
  try {
    statRegular(path);
    await eachTarEntry(path, { most }, (entry) => {
      const name = basename(entry.path);
      const bytes = expected.get(name);
      if (bytes === undefined || found.has(name)) {
        others += entry.size;
        if (others > OTHER_BYTES) {
          throw new DataError(`it holds ${others} bytes that are no part of ${spec.title}`);
        }
        entry.resume();
        return;
      }
      if (entry.size !== bytes) {
        const file = join(path, name);
        throw new DataError(
          `openDataset "${spec.name}": ${wrongSize(spec, file, entry.size, bytes)}`,
          { file },
        );
      }
      const parts: Buffer[] = [];
      entry.on('data', (part: Buffer) => parts.push(part));
      entry.on('end', () => found.set(name, Buffer.concat(parts)));
    });
  } catch (error) {
    if (error instanceof DataError && error.file !== undefined) throw error;
    throw new DataError(
      `openDataset "${spec.name}": ${path} (${statSync(path).size} bytes) cannot be unpacked ` +
        `(${reasonOf(error)}). ${redo(spec)}`,
      { cause: error, file: path },
    );
  }
  return found;
}

function unevenClasses(
  spec: CifarSpec,
  part: string,
  counts: readonly number[],
  total: number,
): string[] {
  const expected = total / spec.classes.length;
  return counts.flatMap((count, label) =>
    count === expected
      ? []
      : `${part}: got ${count} images of class ${label} (${spec.classes[label] ?? ''}), ` +
        `expected ${expected}. ${redo(spec).replace('Delete it', 'Delete the folder')}`,
  );
}
