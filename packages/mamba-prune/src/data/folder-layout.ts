/**
 * Finds the images of a data set kept as folders:
 *
 *     train/CLASS/*.jpg + val/CLASS/*.jpg (or test/)          any, ImageNet as torchvision has it
 *     train/WNID/images/*.JPEG + val/images/*.JPEG + val/val_annotations.txt    Tiny-ImageNet
 *
 * Labels follow the sorted names of the class folders, as in torchvision's ImageFolder.
 */
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { DataError, reasonOf } from './errors.js';
import { printableLine } from '../printable.js';
import { IMAGE_ENDING } from './image-decode.js';
import { readList } from './read-whole.js';

export interface FoundPart {
  /** Relative to the data set's folder. */
  paths: string[];
  labels: number[];
}

export interface FoundImages {
  /** Class folder names, sorted. */
  folders: string[];
  /** Names for people: from words.txt or LOC_synset_mapping.txt, else the folder names. */
  classes: string[];
  train: FoundPart;
  test: FoundPart;
  /** Files passed over because they are no images. */
  ignored: string[];
}

/** @throws DataError naming what is missing */
export function findImages(name: string, dir: string): FoundImages {
  const where = `openDataset "${name}"`;
  const ignored: string[] = [];
  const trainDir = join(dir, 'train');
  const folders = subfolders(where, trainDir, dir);
  if (folders.length < 2) {
    throw new DataError(
      `${where}: got ${folders.length} class folders in ${printableLine(trainDir)}, expected at least 2 ` +
        '(train/CLASS/IMAGE).',
      { file: trainDir },
    );
  }
  const labelOf = new Map(folders.map((folder, label) => [folder, label]));
  const train = emptyPart();
  folders.forEach((folder, label) => {
    const nested = join('train', folder, 'images');
    const from = existsSync(join(dir, nested)) ? nested : join('train', folder);
    const names = imageNames(join(dir, from), ignored);
    if (names.length === 0) {
      throw new DataError(
        `${where}: found no images in ${printableLine(join(dir, from))}, expected .jpg, .jpeg, .png or .webp ` +
          'files. Fill or delete this class folder.',
        { file: join(dir, from) },
      );
    }
    addAll(train, from, names, label);
  });
  const test = findTest(where, dir, labelOf, ignored);
  return { folders, classes: classNames(dir, folders), train, test, ignored };
}

const emptyPart = (): FoundPart => ({ paths: [], labels: [] });

function addAll(part: FoundPart, folder: string, names: readonly string[], label: number): void {
  for (const name of names) {
    part.paths.push(join(folder, name));
    part.labels.push(label);
  }
}

function findTest(
  where: string,
  dir: string,
  labelOf: ReadonlyMap<string, number>,
  ignored: string[],
): FoundPart {
  const annotations = join(dir, 'val', 'val_annotations.txt');
  if (existsSync(annotations)) return readAnnotations(where, annotations, labelOf);
  // val first: ImageNet's and Tiny-ImageNet's test images have no labels.
  const part = ['val', 'test'].find((candidate) => existsSync(join(dir, candidate)));
  if (part === undefined) {
    throw new DataError(
      `${where}: found neither val nor test in ${dir}, expected val/CLASS/IMAGE or ` +
        'test/CLASS/IMAGE beside train.',
      { file: dir },
    );
  }
  const found = emptyPart();
  for (const folder of subfolders(where, join(dir, part), dir)) {
    const label = labelOf.get(folder);
    if (label === undefined) {
      throw new DataError(
        `${where}: ${printableLine(join(dir, part, folder))} is a class that train does not have. ` +
          'Add it to train or delete it.',
        { file: join(dir, part, folder) },
      );
    }
    addAll(found, join(part, folder), imageNames(join(dir, part, folder), ignored), label);
  }
  if (found.paths.length === 0) {
    throw new DataError(
      `${where}: found no images in class folders of ${join(dir, part)}, expected ` +
        `${part}/CLASS/IMAGE. Sort the images into one folder per class, named as in train.`,
      { file: join(dir, part) },
    );
  }
  return found;
}

/** Tiny-ImageNet: lines of "val_0.JPEG<tab>n03444034<tab>0<tab>32<tab>44<tab>62". */
function readAnnotations(
  where: string,
  file: string,
  labelOf: ReadonlyMap<string, number>,
): FoundPart {
  const found = emptyPart();
  const lines = readList(file).split(/\r?\n/);
  for (const [i, line] of lines.entries()) {
    if (line.trim() === '') continue;
    const [name = '', folder = ''] = line.split('\t');
    const label = labelOf.get(folder);
    if (label === undefined) {
      throw new DataError(
        `${where}: ${file} line ${i + 1}: got class "${printableLine(folder)}", expected one of the ` +
          `${labelOf.size} folders in train.`,
        { file },
      );
    }
    // A name is a name: "../x" would lead out of the folder.
    if (!IMAGE_ENDING.test(name) || /[/\\]/.test(name)) {
      throw new DataError(`${where}: ${file} line ${i + 1}: got "${printableLine(name)}", expected an image name.`, {
        file,
      });
    }
    found.paths.push(join('val', 'images', name));
    found.labels.push(label);
  }
  if (found.paths.length === 0) {
    throw new DataError(`${where}: ${file} is empty, expected one line per image.`, { file });
  }
  return found;
}

function subfolders(where: string, path: string, dir: string): string[] {
  try {
    return readdirSync(path, { withFileTypes: true })
      .filter((entry) => !entry.name.startsWith('.'))
      .filter((entry) => {
        if (!entry.isSymbolicLink()) return entry.isDirectory();
        return statSync(join(path, entry.name), { throwIfNoEntry: false })?.isDirectory() ?? false;
      })
      .map((entry) => entry.name)
      .sort(byCodeUnit);
  } catch (error) {
    throw new DataError(
      `${where}: ${path} cannot be read (${reasonOf(error)}), expected train/CLASS/IMAGE and ` +
        `val/CLASS/IMAGE in ${dir}. Give the folder that holds train (--data DIR).`,
      { cause: error, file: path },
    );
  }
}

function imageNames(path: string, ignored: string[]): string[] {
  const names: string[] = [];
  for (const name of readdirSync(path)) {
    if (name.startsWith('.')) continue; // .DS_Store and the like, and ._x.jpg, which is no image
    if (IMAGE_ENDING.test(name)) names.push(name);
    // Tiny-ImageNet keeps a list of boxes in every class folder.
    else if (!name.endsWith('_boxes.txt') && name !== 'images') ignored.push(join(path, name));
  }
  return names.sort(byCodeUnit);
}

/** Not localeCompare: labels must not depend on the user's language. */
function byCodeUnit(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Both files have lines of "WNID<tab or space>name, other name". */
function classNames(dir: string, folders: readonly string[]): string[] {
  const file = ['words.txt', 'LOC_synset_mapping.txt'].map((f) => join(dir, f)).find(existsSync);
  if (file === undefined) return [...folders];
  const names = new Map<string, string>();
  for (const line of readList(file).split(/\r?\n/)) {
    const [, wnid, words] = /^(\S+)\s+(.*)$/.exec(line) ?? [];
    if (wnid !== undefined && words !== undefined) names.set(wnid, words.split(',')[0] ?? words);
  }
  return folders.map((folder) => names.get(folder) ?? folder);
}
