/**
 * Finds the images of a data set kept as folders:
 *
 *     train/CLASS/*.jpg + val/CLASS/*.jpg (or test/)          any, ImageNet as torchvision has it
 *     train/WNID/images/*.JPEG + val/images/*.JPEG + val/val_annotations.txt    Tiny-ImageNet
 *
 * Labels follow the sorted names of the class folders, and folders below a class belong to it, as in
 * torchvision's ImageFolder. A name counts as composed (Unicode's NFC), which is how macOS does not write it:
 * train and val may come from different machines.
 */
import { existsSync } from 'node:fs';
import { join, sep } from 'node:path';
import { byCodePoint } from './code-points.js';
import { DataError } from './errors.js';
import type { FolderEntries } from './folder-entries.js';
import { Findings, listed, unreadFormats } from './folder-findings.js';
import { findRoot, partFolders, testNames } from './folder-root.js';
import { entriesOf, imagesBelow } from './folder-walk.js';
import type { FolderSpec } from './image-folder.js';
import { printableLine } from '../printable.js';
import { readList } from './read-whole.js';
import { didYouMean } from './suggest.js';
import { annotatedImages, missingAnnotations } from './tiny-annotations.js';

export interface FoundPart {
  /** Relative to the root. */
  paths: string[];
  labels: number[];
}

export interface FoundImages {
  /** The folder that holds train: the data set's, or one below it. */
  root: string;
  /** Class folder names, sorted. */
  folders: string[];
  /** Names for people: from words.txt or LOC_synset_mapping.txt, else the folder names. */
  classes: string[];
  train: FoundPart;
  test: FoundPart;
  /** What the user should know, each a sentence or two that begin with the data set's name. */
  notes: string[];
}

/** Where a part of the data set is searched, and what for. */
interface Search {
  readonly where: string;
  readonly root: string;
  readonly findings: Findings;
  readonly saysWhatIsNotRead: boolean;
}

/** @throws DataError naming what is missing */
export function findImages(
  { name, saysWhatIsNotRead = false }: Pick<FolderSpec, 'name' | 'saysWhatIsNotRead'>,
  dir: string,
): FoundImages {
  const where = `openDataset "${name}"`;
  const findings = new Findings();
  const { root, trainName } = findRoot(where, dir, findings);
  const search = { where, root, findings, saysWhatIsNotRead };
  const classFolders = foldersOf(search, trainName);
  const folders = [...classFolders.keys()];
  if (folders.length < 2) {
    checkNames(search, dir);
    throw tooFewClasses(search, trainName, folders);
  }
  const train: FoundPart = { paths: [], labels: [] };
  const empty: string[] = [];
  folders.forEach((folder, label) => {
    const paths = imagesBelow(where, root, classFolders.get(folder) ?? [], findings);
    if (paths.length === 0) empty.push(folder);
    addAll(train, paths, label);
  });
  checkNames(search, dir);
  if (empty.length > 0) throw emptyClasses(search, trainName, empty);
  const test = findTest(search, folders);
  checkNames(search, dir);
  const notes = findings.lines(name, root);
  return { root, folders, classes: classNames(root, folders), train, test, notes };
}

const images = (count: number): string => (count === 1 ? '1 image' : `${count} images`);

function addAll(part: FoundPart, paths: readonly string[], label: number): void {
  for (const path of paths) {
    part.paths.push(path);
    part.labels.push(label);
  }
}

/** The class folders of a part by the composed spelling of their names, sorted. */
function foldersOf({ where, root, findings }: Search, part: string): Map<string, string[]> {
  const path = join(root, part);
  const entries = entriesOf(where, path);
  findings.add(path, entries);
  for (const name of entries.images) findings.loose.push(join(path, name));
  return byClass(part, entries, findings);
}

function byClass(
  part: string,
  { folders }: FolderEntries,
  findings: Findings,
): Map<string, string[]> {
  const found = new Map<string, string[]>();
  for (const folder of folders) {
    const name = folder.normalize('NFC');
    const spelled = found.get(name);
    if (!spelled) found.set(name, [join(part, folder)]);
    else {
      spelled.push(join(part, folder));
      findings.notes.push(
        `${printableLine(join(part, name))} is there in two spellings (Unicode NFC and NFD), which are read as one class.`,
      );
    }
  }
  return new Map([...found].sort(([a], [b]) => byCodePoint(a, b)));
}

/** A class of the wrong name would change every label after it, so these are no notes. */
function checkNames({ where, findings }: Search, dir: string): void {
  const { notUtf8 } = findings;
  if (notUtf8.length === 0) return;
  throw new DataError(
    `${where}: ${notUtf8.length === 1 ? 'the name of 1 image or folder is' : `the names of ${notUtf8.length} images or folders are`} no UTF-8: ` +
      `${listed(notUtf8.map(printableLine), '; ')}. Rename ${notUtf8.length === 1 ? 'it' : 'them'}; ` +
      `where names are Latin-1, "convmv -f latin1 -t utf8 -r --notest" does so for all in a folder.`,
    { file: dir },
  );
}

function tooFewClasses(
  { where, root, findings }: Search,
  trainName: string,
  folders: readonly string[],
): DataError {
  const path = join(root, trainName);
  const { loose } = findings;
  const [only] = folders;
  const got = only === undefined ? 'no class folders' : `1 class folder (${printableLine(only)})`;
  const unsorted =
    loose.length === 0
      ? ''
      : `; ${images(loose.length)} in no class folder, such as ${printableLine(loose[0] ?? '')}`;
  return new DataError(
    `${where}: got ${got} in ${printableLine(path)}${unsorted}, expected at least 2 ` +
      `(${trainName}/CLASS/IMAGE).`,
    { file: path },
  );
}

function emptyClasses(
  { where, root, findings }: Search,
  trainName: string,
  empty: readonly string[],
): DataError {
  const described = empty.map((folder) => {
    const path = join(root, trainName, folder);
    const start = join(path, sep).normalize('NFC');
    const below = findings.unread.filter((file) => file.normalize('NFC').startsWith(start));
    const unread =
      below.length === 0 ? '' : ` (${unreadFormats(below)}, which are formats that are not read)`;
    return `${printableLine(path)}${unread}`;
  });
  const which =
    empty.length === 1 ? 'Fill or delete this class folder' : 'Fill or delete these class folders';
  const convert = findings.unread.length === 0 ? '' : ', or convert what they hold to JPEG or PNG';
  return new DataError(
    `${where}: found no images in ${listed(described, '; ')}, expected files such as .jpg, .png, .webp or .bmp. ` +
      `${which}${convert}.`,
    { file: join(root, trainName, empty[0] ?? '') },
  );
}

/** The images to test with: of the first part that has some. */
function findTest(search: Search, folders: readonly string[]): FoundPart {
  const { where, root, findings } = search;
  // val first: ImageNet's and Tiny-ImageNet's test images have no labels.
  const parts = partFolders(where, root, testNames);
  const labelOf = new Map(folders.map((folder, label) => [folder, label]));
  let tried: Findings | undefined;
  for (const part of parts) {
    const own = new Findings();
    const found = testPart({ ...search, findings: own }, part, labelOf);
    if (found.paths.length === 0 && own.notUtf8.length === 0) {
      tried ??= own;
      continue;
    }
    findings.take(own);
    findings.notes.push(...missingClasses(part, found, folders));
    const others = parts.filter((other) => other !== part);
    if (others.length > 0 && search.saysWhatIsNotRead) {
      const rest = `${others.join(', ')} ${others.length === 1 ? 'is' : 'are'} not read`;
      findings.notes.push(`the accuracy is measured on ${part}; ${rest}.`);
    }
    return found;
  }
  const [part] = parts;
  if (part === undefined) {
    throw new DataError(
      `${where}: found neither val nor test in ${root}, expected val/CLASS/IMAGE or ` +
        'test/CLASS/IMAGE beside train (also called validation, valid or testing). ' +
        'Move a part of the images of every class there, for instance a tenth.',
      { file: root },
    );
  }
  const { loose = [], unread = [] } = tried ?? {};
  const seen = [
    ...(loose.length > 0 ? [`${images(loose.length)} in no class folder`] : []),
    ...(unread.length > 0 ? [`files of formats that are not read: ${unreadFormats(unread)}`] : []),
  ];
  throw new DataError(
    `${where}: found no images in class folders of ${join(root, part)}` +
      `${seen.length > 0 ? ` (only ${seen.join(', and ')})` : ''}, expected ` +
      `${part}/CLASS/IMAGE. Sort the images into one folder per class, named as in train.`,
    { file: join(root, part) },
  );
}

function testPart(search: Search, part: string, labelOf: ReadonlyMap<string, number>): FoundPart {
  const { where, root, findings } = search;
  const classFolders = foldersOf(search, part);
  const annotations = join(root, part, 'val_annotations.txt');
  // Some sort the images into class folders and leave the list: then the folders count.
  const isSorted = [...classFolders.keys()].some((folder) => labelOf.has(folder));
  if (existsSync(annotations)) {
    findings.others = findings.others.filter((path) => path !== annotations);
    if (!isSorted) return annotatedImages(where, root, part, labelOf, findings);
  }
  const found: FoundPart = { paths: [], labels: [] };
  for (const [folder, spelled] of classFolders) {
    const label = labelOf.get(folder);
    const paths = imagesBelow(where, root, spelled, findings);
    if (label === undefined && paths.length > 0) {
      if (folder === 'images' && !isSorted) throw missingAnnotations(where, annotations);
      const meant = didYouMean(folder, [...labelOf.keys()]).map(printableLine);
      throw new DataError(
        `${where}: ${printableLine(join(root, part, folder))} is a class that train does not have. ` +
          `Add it to train or delete it.${meant.length > 0 ? ` Did you mean ${meant.slice(0, 3).join(' or ')}?` : ''}`,
        { file: join(root, part, folder) },
      );
    }
    addAll(found, paths, label ?? 0);
  }
  return found;
}

function missingClasses(part: string, { labels }: FoundPart, folders: readonly string[]): string[] {
  const has = new Set(labels);
  const without = folders.filter((_, label) => !has.has(label));
  if (without.length === 0) return [];
  const names = listed(without.map(printableLine));
  return [
    without.length === 1
      ? `${part} has no images of the class ${names}, so that its accuracy is not measured.`
      : `${part} has no images of ${without.length} of the ${folders.length} classes, so that their ` +
        `accuracy is not measured: ${names}.`,
  ];
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
