/** Tiny-ImageNet's validation images: one folder, and a list of their classes. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { DataError } from './errors.js';
import type { Findings } from './folder-findings.js';
import type { FoundPart } from './folder-layout.js';
import { entriesOf } from './folder-walk.js';
import { imageEnding } from './image-decode.js';
import { printableLine } from '../printable.js';
import { readList } from './read-whole.js';

/**
 * Lines of "val_0.JPEG<tab>n03444034<tab>0<tab>32<tab>44<tab>62".
 * @throws DataError naming the line
 */
export function annotatedImages(
  where: string,
  root: string,
  part: string,
  labelOf: ReadonlyMap<string, number>,
  findings: Findings,
): FoundPart {
  const file = join(root, part, 'val_annotations.txt');
  const found: FoundPart = { paths: [], labels: [] };
  const named = new Set<string>();
  const lines = readList(file).split(/\r?\n/);
  for (const [i, line] of lines.entries()) {
    if (line.trim() === '') continue;
    const [name = '', folder = ''] = line.split('\t');
    const label = labelOf.get(folder.normalize('NFC'));
    if (label === undefined) {
      throw new DataError(
        `${where}: ${file} line ${i + 1}: got class "${printableLine(folder)}", expected one of the ` +
          `${labelOf.size} folders in train.`,
        { file },
      );
    }
    // A name is a name: "../x" would lead out of the folder.
    if (!imageEnding.test(name) || /[/\\]/.test(name)) {
      throw new DataError(
        `${where}: ${file} line ${i + 1}: got "${printableLine(name)}", expected an image name.`,
        { file },
      );
    }
    named.add(name);
    found.paths.push(join(part, 'images', name));
    found.labels.push(label);
  }
  if (found.paths.length === 0) {
    throw new DataError(`${where}: ${file} is empty, expected one line per image.`, { file });
  }
  noteUnlisted(where, join(root, part, 'images'), named, findings);
  return found;
}

/** Of images in one folder, as Tiny-ImageNet has them, the classes stand in the list alone. */
export const missingAnnotations = (where: string, file: string): DataError =>
  new DataError(
    `${where}: ${printableLine(file)} does not exist, expected the classes of the images in the folder images beside it. ` +
      'Unpack the archive anew, or sort the images into one folder per class, named as in train.',
    { file },
  );

function noteUnlisted(
  where: string,
  path: string,
  named: ReadonlySet<string>,
  findings: Findings,
): void {
  if (!existsSync(path)) return;
  const entries = entriesOf(where, path);
  findings.add(path, entries);
  const unlisted = entries.images.filter((name) => !named.has(name));
  const [first] = unlisted;
  if (first === undefined) return;
  findings.notes.push(
    `val_annotations.txt does not name ${unlisted.length} of the images in ${path}, such as ` +
      `${printableLine(first)}: they are not read.`,
  );
}
