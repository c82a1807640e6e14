/** Making folders, from a path that may be anything a user typed. */
import { accessSync, constants, lstatSync, mkdirSync, rmdirSync, statSync } from 'node:fs';
import { basename, dirname, resolve } from 'node:path';

/**
 * Makes a folder and those above it that are missing. Not by `mkdirSync` with `recursive`: where the
 * system says ENOENT although the folder above exists, as in /proc or below a link to nothing, that
 * tries again for ever.
 *
 * @returns what was missing, the outermost first
 * @throws FolderError, or the system's error
 */
export function makeFolder(path: string): string[] {
  const missing: string[] = [];
  const wanted = resolve(path);
  for (let folder = wanted; !isFolder(folder, wanted); folder = dirname(folder)) {
    missing.push(folder);
    if (dirname(folder) === folder) break;
  }
  missing.reverse();
  for (const folder of missing) makeOne(folder);
  return missing;
}

/** Removes folders that are empty, the last one first, up to one that is not. */
export function removeEmptyFolders(folders: readonly string[]): void {
  for (const folder of folders.toReversed()) {
    try {
      rmdirSync(folder);
    } catch {
      return; // Somebody else has put something there, or has removed it already.
    }
  }
}

/**
 * Finds without making anything what would keep `makeFolder` from making a folder, as far as can be
 * told: for those who have long work to do before.
 * @throws FolderError, or the system's error
 */
export function checkFolder(path: string): void {
  const wanted = resolve(path);
  let folder = wanted;
  while (!isFolder(folder, wanted) && dirname(folder) !== folder) {
    if (lstatSync(folder, { throwIfNoEntry: false })?.isSymbolicLink() === true) {
      throw new FolderError(folder, linkToNothing);
    }
    folder = dirname(folder);
  }
  accessSync(folder, constants.W_OK | constants.X_OK);
}

const linkToNothing = 'it is a symbolic link to nothing (EEXIST)';

/**
 * Whether another name was to be given: otherwise it is the disk or its permissions that have to change.
 * @param error - of `makeFolder` or `checkFolder`
 */
export function isWrongName(error: unknown): boolean {
  if (error instanceof FolderError) return true;
  const { code = '' } = error as NodeJS.ErrnoException;
  return ['ENOTDIR', 'EEXIST', 'EISDIR', 'ENAMETOOLONG', 'ELOOP'].includes(code);
}

function makeOne(folder: string): void {
  try {
    mkdirSync(folder);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // Another process may have been faster.
    if (code === 'EEXIST' && isFolder(folder, folder)) return;
    if (code === 'ENOENT') {
      throw new FolderError(folder, 'the file system makes no folders there (ENOENT)', error);
    }
    if (code === 'EEXIST' && lstatSync(folder).isSymbolicLink()) {
      throw new FolderError(folder, linkToNothing, error);
    }
    throw error;
  }
}

/** Where the system's code says less than there is to know; it has none, so that its words are used. */
class FolderError extends Error {
  override readonly name = 'FolderError';

  readonly path: string;

  constructor(path: string, reason: string, cause?: unknown) {
    super(`${reason}: ${path}. Choose another folder.`, { cause });
    this.path = path;
  }
}

/** Most bytes of one name, on every common file system. */
const longestName = 255;

/** @throws the system's error if it is something else, or that cannot be found out (ENAMETOOLONG, ELOOP, ...) */
function isFolder(path: string, wanted: string): boolean {
  const found = statSync(path, { throwIfNoEntry: false });
  if (found?.isDirectory() === true) return true;
  if (found === undefined) {
    // The system says so only where the folder above is there.
    if (Buffer.byteLength(basename(path)) <= longestName) return false;
    throw Object.assign(new Error('ENAMETOOLONG: name too long, mkdir'), { code: 'ENAMETOOLONG' });
  }
  const code = path === wanted ? 'EEXIST' : 'ENOTDIR';
  throw Object.assign(new Error(`${code}: no folder, mkdir '${path}'`), { code, path });
}
