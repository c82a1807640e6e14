/** MNIST and what comes in its format: four idx files, images and labels of 60,000 and 10,000 images. */
import { existsSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { defaultPreprocessing } from '../preparation/preprocessing.js';
import { fashionMnistSpec } from './datasets/fashion-mnist.js';
import { mnistSpec } from './datasets/mnist.js';
import { DataError, reasonOf } from './errors.js';
import { readIdx } from './idx.js';
import { channelStatistics, countLabels, MemorySplit } from './memory-split.js';
import type { Dataset, OpenDatasetOptions, VerifyReport } from './types.js';

const side = 28;
const imagePixels = side * side;
const fileParts = ['train', 't10k'] as const;
type Part = (typeof fileParts)[number];

export interface IdxSpec {
  readonly name: string;
  readonly classes: readonly string[];
  /** Folders below the one that is given, as archives and torchvision make them. */
  readonly folders: readonly string[];
  readonly images: Readonly<Record<Part, number>>;
  /** The first labels of the test part: all of these data sets have the same names and sizes. */
  readonly firstLabels: string;
  /** Where to get it. */
  readonly source: string;
  /** Whether each class has as many images as any other. */
  readonly isEven: boolean;
}

/** The folder with the files, if there is one: `dir` or one below. One of them is enough, so that others are missed. */
export function idxFolder(spec: IdxSpec, dir: string): string | undefined {
  const folders = [dir, ...spec.folders.map((folder) => join(dir, folder))];
  return folders.find((folder) =>
    fileParts.some((part) => fileKinds.some((kind) => idxFile(folder, part, kind) !== undefined)),
  );
}

/** @throws DataError naming the file at fault */
export function openIdx(spec: IdxSpec, options: OpenDatasetOptions): Dataset {
  const dir = requireDir(spec, options);
  const folder = requireFolder(spec, dir);
  const { train, t10k, problems } = load(spec, folder);
  const [problem] = problems;
  if (problem)
    throw new DataError(`openDataset "${spec.name}": ${problem.text}`, { file: problem.file });
  return {
    info: {
      name: spec.name,
      classes: spec.classes,
      channels: 1,
      height: side,
      width: side,
      ...channelStatistics(train.images, 1, imagePixels),
      dir: resolve(dir),
      preprocessing: defaultPreprocessing(spec.name),
    },
    train: new MemorySplit(train.images, train.labels, imagePixels),
    test: new MemorySplit(t10k.images, t10k.labels, imagePixels),
  };
}

/** Everything that opening checks, and that no class has more images than another where that is so. */
export function verifyIdx(spec: IdxSpec, options: OpenDatasetOptions): VerifyReport {
  const dir = requireDir(spec, options);
  const folder = requireFolder(spec, dir);
  const { train, t10k, problems, files } = load(spec, folder);
  const texts = problems.map(({ text }) => text);
  const counts = {
    train: countLabels(train.labels, spec.classes.length),
    test: countLabels(t10k.labels, spec.classes.length),
  };
  if (texts.length === 0 && spec.isEven) {
    for (const [part, perClass] of Object.entries(counts)) {
      const expected = spec.images[part === 'train' ? 'train' : 't10k'] / spec.classes.length;
      perClass.forEach((count, label) => {
        if (count === expected) return;
        texts.push(
          `${part}: got ${count} images of class ${label} (${spec.classes[label] ?? ''}), ` +
            `expected ${expected}. ${again(spec)}`,
        );
      });
    }
  }
  return {
    name: spec.name,
    dir: folder,
    ok: texts.length === 0,
    classes: spec.classes,
    counts,
    files,
    problems: texts,
    notes: [],
  };
}

function requireDir(spec: IdxSpec, { dir }: OpenDatasetOptions): string {
  if (dir !== undefined && dir !== '') return dir;
  throw new DataError(
    `openDataset "${spec.name}": got no folder, expected the one with ${nameOf('train', 'images')}(.gz) and the ` +
      `three other files of ${spec.source}. Give its path (\`dir\`).`,
    { isUsage: true },
  );
}

function requireFolder(spec: IdxSpec, dir: string): string {
  const folder = idxFolder(spec, dir);
  if (folder !== undefined) return folder;
  throw new DataError(`openDataset "${spec.name}": ${noIdx(spec, dir)}.`, { file: dir });
}

/** What was looked for in vain, without a full stop. */
export const noIdx = (spec: IdxSpec, dir: string): string =>
  `found no idx files in ${dir}, expected ${fileParts.flatMap((part) => fileKinds.map((kind) => nameOf(part, kind))).join(', ')}, ` +
  `each plain or with .gz, as ${spec.source} has them`;

const fileKinds = ['images', 'labels'] as const;
type Kind = (typeof fileKinds)[number];

const nameOf = (part: Part, kind: Kind): string =>
  `${part}-${kind}-idx${kind === 'images' ? 3 : 1}-ubyte`;

/** Some write a dot before idx, and some archives have a folder of the file's name around it. */
function idxFile(folder: string, part: Part, kind: Kind): string | undefined {
  const name = nameOf(part, kind);
  const dotted = name.replace('-idx', '.idx');
  const names = [
    name,
    dotted,
    `${name}.gz`,
    `${dotted}.gz`,
    join(name, name),
    join(dotted, dotted),
  ];
  return names
    .map((candidate) => join(folder, candidate))
    .find((path) => existsSync(path) && !statSync(path).isDirectory());
}

interface Records {
  images: Uint8Array;
  labels: Uint8Array;
}
interface Loaded extends Record<Part, Records> {
  problems: { text: string; file: string }[];
  files: { path: string; bytes: number }[];
}

const again = (spec: IdxSpec): string => `Get the file from ${spec.source} again.`;

function load(spec: IdxSpec, folder: string): Loaded {
  const problems: Loaded['problems'] = [];
  const files: Loaded['files'] = [];
  const read = (part: Part, kind: Kind): Uint8Array => {
    const count = spec.images[part];
    const shape = kind === 'images' ? [count, side, side] : [count];
    const elements = kind === 'images' ? count * imagePixels : count;
    const path = idxFile(folder, part, kind);
    if (path === undefined) {
      const missing = join(folder, nameOf(part, kind));
      problems.push({
        text: `${missing} is missing, plain or with .gz. ${again(spec)}`,
        file: missing,
      });
      return new Uint8Array(elements);
    }
    try {
      const bytes = readIdx(path, shape);
      files.push({ path, bytes: statSync(path).size });
      if (kind === 'labels') {
        const other = part === 't10k' ? otherSpec(spec, bytes) : undefined;
        if (other !== undefined) {
          problems.push({
            text: `${path} has the labels of ${other}. Take the data set ${other}.`,
            file: path,
          });
        }
        checkLabels(spec, bytes);
      }
      return bytes;
    } catch (error) {
      const text = `${path} cannot be used (${reasonOf(error)}). ${again(spec)}`;
      problems.push({ text, file: path });
      return new Uint8Array(elements);
    }
  };
  const part = (name: Part): Records => ({
    images: read(name, 'images'),
    labels: read(name, 'labels'),
  });
  return { train: part('train'), t10k: part('t10k'), problems, files };
}

function checkLabels(spec: IdxSpec, labels: Uint8Array): void {
  const { length } = spec.classes;
  const wrong = labels.findIndex((label) => label >= length);
  if (wrong < 0) return;
  throw new DataError(
    `record ${wrong}: got label ${labels[wrong] ?? ''}, expected 0 to ${length - 1}`,
  );
}

/** Whose test labels these are, if they are those of another data set with the same files. */
function otherSpec(spec: IdxSpec, labels: Uint8Array): string | undefined {
  const first = labels.subarray(0, 10).join('');
  return [mnistSpec, fashionMnistSpec].find(
    (other) => other.name !== spec.name && other.firstLabels === first,
  )?.name;
}
