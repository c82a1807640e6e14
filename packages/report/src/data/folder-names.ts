// Images of folders are all the data set `folder`: what their folders are called tells them apart.
import { basename, sep } from 'node:path';
import type { RunConfig } from 'mamba-prune/training';

/** The images of a run that a folder of one's own holds. */
export interface OwnFolder {
  /** On the machine of the run. */
  readonly path: string;
  readonly classes: number | undefined;
}

/** Undefined of data sets whose name says which images they are. */
export function ownFolderOf({ dataset, model }: RunConfig): OwnFolder | undefined {
  const { name, dir } = (dataset ?? {}) as { name?: unknown; dir?: unknown };
  if (name !== 'folder' || typeof dir !== 'string') return undefined;
  const { numClasses } = (model ?? {}) as { numClasses?: unknown };
  return { path: dir, classes: typeof numClasses === 'number' ? numClasses : undefined };
}

/**
 * What each folder is called: its last name, wherever it lies, for runs come from several machines. Folders of one name with
 * different numbers of classes hold different images: they are called by as many of the folders above as tell them apart, and
 * one that has got other classes since by their number.
 */
export function folderNames(folders: readonly OwnFolder[]): ReadonlyMap<OwnFolder, string> {
  /** Whether folders with these last names all have as many classes. */
  const isOne = (tail: string): boolean =>
    new Set(
      folders.filter(({ path }) => tailsOf(path).includes(tail)).map(({ classes }) => classes),
    ).size === 1;
  return new Map(
    folders.map((folder) => {
      const { path, classes } = folder;
      return [folder, tailsOf(path).find(isOne) ?? `${basename(path)}${counted(classes)}`];
    }),
  );
}

/** The last name of a path, its last two, and so on. */
function tailsOf(path: string): string[] {
  const names = path.split(sep).filter((name) => name !== '');
  return names.map((_, above) => names.slice(-1 - above).join('/'));
}

const counted = (classes: number | undefined): string =>
  classes === undefined ? '' : ` (${classes} class${classes === 1 ? '' : 'es'})`;
