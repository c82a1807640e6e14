// What notes call the file of a model.
import { boxedNameOf } from '../boxed-models.js';
import { originLabel, originOf } from './origin.js';
import { printableLine } from '../printable.js';
import { relativePath } from '../shell.js';

/** Where it was downloaded from, the name of a trained model, or its path from here: as short as the reader knows it. */
export function shownFile(path: string): string {
  const origin = originOf(path);
  return printableLine(origin ? originLabel(origin) : (boxedNameOf(path) ?? relativePath(path)));
}
