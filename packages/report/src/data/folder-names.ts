// Images of folders are all the data set `folder`: what their folders are called tells them apart.
import { basename, dirname } from 'node:path';
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
 * different numbers of classes hold different images, and are called by the folder above too.
 */
export function folderNames(folders: readonly OwnFolder[]): ReadonlyMap<string, string> {
  const classes = new Map<string, Set<number | undefined>>();
  for (const { path, classes: count } of folders) {
    const counts = classes.get(basename(path)) ?? new Set();
    classes.set(basename(path), counts.add(count));
  }
  return new Map(
    folders.map(({ path }) => {
      const name = basename(path);
      const isOne = (classes.get(name)?.size ?? 0) <= 1;
      return [path, isOne ? name : `${basename(dirname(path))}/${name}`];
    }),
  );
}
