// What notes call the file of a model.
import { boxedNameOf } from '../boxed-models.js';
import { originLabel, originOf } from './origin.js';
import { printableLine } from '../printable.js';
import { relativePath } from '../shell.js';

/** Where it was downloaded from, or the name of a trained model; undefined for a file of the reader's own. */
export function nameOfFile(path: string): string | undefined {
  const origin = originOf(path);
  return origin ? originLabel(origin) : boxedNameOf(path);
}

/** That name, or its path from here: as short as the reader knows it. */
export const shownFile = (path: string): string =>
  printableLine(nameOfFile(path) ?? relativePath(path));
