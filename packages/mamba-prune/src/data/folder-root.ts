/** Where the parts of a data set of folders are, which people call and nest in several ways. */
import { basename, dirname, join } from 'node:path';
import { DataError, errnoOf, reasonOf } from './errors.js';
import { type FolderEntries, readEntries } from './folder-entries.js';
import { type Findings, listed } from './folder-findings.js';
import { entriesOf } from './folder-walk.js';
import { printableLine } from '../printable.js';

const trainNames = ['train', 'training'];
/** In the order in which they are looked for. */
export const testNames = ['val', 'validation', 'valid', 'test', 'testing'];

/** As deep as `ILSVRC/Data/CLS-LOC/train`. */
const deepest = 3;
/** Beyond so many folders it is not the data set's that was given. */
const mostSearched = 1000;

/**
 * The folder that holds train, and what train is called there. Archives often unpack to one folder more
 * than expected, so those below are searched too.
 * @throws DataError if there is none, or more than one
 */
export function findRoot(
  where: string,
  dir: string,
  findings: Findings,
): { root: string; trainName: string } {
  const [trainName, ...others] = partsIn(entriesAt(where, dir), trainNames);
  if (trainName !== undefined) {
    for (const other of others) {
      findings.notes.push(`the training images are those in ${trainName}; ${other} is not read.`);
    }
    return { root: dir, trainName };
  }
  const below = searchBelow(dir);
  const [only] = below;
  if (only === undefined) throw noTrain(where, dir);
  if (below.length > 1) {
    throw new DataError(
      `${where}: found no train in ${dir}, but ${below.length} folders below it that hold one: ` +
        `${listed(below.map(({ root }) => printableLine(root)))}. Give one of them (\`dir\`).`,
      { file: dir },
    );
  }
  findings.notes.push(
    `reads ${printableLine(only.root)}, the only folder in ${printableLine(dir)} that holds train.`,
  );
  return only;
}

/** Folders of these names, in this order; Train is one as well, where there is no train. */
export function partFolders(where: string, root: string, names: readonly string[]): string[] {
  return partsIn(entriesOf(where, root), names);
}

function partsIn({ folders }: FolderEntries, names: readonly string[]): string[] {
  return names.flatMap((name) =>
    folders.includes(name)
      ? [name]
      : folders.filter((folder) => folder.toLowerCase() === name).slice(0, 1),
  );
}

function searchBelow(dir: string): { root: string; trainName: string }[] {
  const found: { root: string; trainName: string }[] = [];
  let level = [dir];
  let searched = 0;
  for (let depth = 0; depth <= deepest && found.length === 0; depth++) {
    const next: string[] = [];
    for (const root of level) {
      if (++searched > mostSearched) return found;
      let entries: FolderEntries;
      try {
        entries = readEntries(root);
      } catch {
        continue; // Whatever it is: it is not known to be part of the data set.
      }
      const trainName = partsIn(entries, trainNames)[0];
      if (trainName !== undefined) found.push({ root, trainName });
      next.push(...entries.folders.map((name) => join(root, name)));
    }
    level = next;
  }
  return found;
}

function entriesAt(where: string, dir: string): FolderEntries {
  try {
    return readEntries(dir);
  } catch (error) {
    const code = errnoOf(error);
    const isFile = code === 'ENOTDIR';
    const problem =
      code === 'ENOENT'
        ? 'does not exist'
        : isFile
          ? 'is a file'
          : `cannot be read (${reasonOf(error)})`;
    throw new DataError(
      `${where}: ${printableLine(dir)} ${problem}, expected a folder with ` +
        'train/CLASS/IMAGE and val/CLASS/IMAGE. ' +
        (isFile && /\.(?:zip|t?gz|tar|tar\.\w+|7z|rar)$/i.test(dir)
          ? 'Unpack it, and give the folder that holds train (`dir`).'
          : 'Give the folder that holds train (`dir`).'),
      { cause: error, file: dir },
    );
  }
}

function noTrain(where: string, dir: string): DataError {
  const { folders, images } = entriesAt(where, dir);
  const held = [
    ...(folders.length > 0 ? [`the folders ${listed(folders.map(printableLine))}`] : []),
    ...(images.length > 0 ? [`${images.length} images`] : []),
  ];
  const isPart = [...trainNames, ...testNames].includes(basename(dir).toLowerCase());
  return new DataError(
    `${where}: found no train in ${printableLine(dir)}, which holds ${held.length > 0 ? held.join(' and ') : 'no folders'}; ` +
      'expected train/CLASS/IMAGE and val/CLASS/IMAGE. ' +
      (isPart
        ? `Give the folder above, ${printableLine(dirname(dir))} (\`dir\`).`
        : 'Give the folder that holds train (`dir`), or sort the images so.'),
    { file: dir },
  );
}
