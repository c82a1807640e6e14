/** The images of one class: those in its folder and in the folders below, as torchvision's ImageFolder. */
import { statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { byCodePoint } from './code-points.js';
import { DataError, reasonOf } from './errors.js';
import { type FolderEntries, readEntries } from './folder-entries.js';
import type { Findings } from './folder-findings.js';
import { printableLine } from '../printable.js';

/**
 * @param root - absolute
 * @param folders - of the class, relative to `root`: two where its name is spelled in two ways
 * @returns paths relative to `root`: folder after folder, both in the order of code points
 */
export function imagesBelow(
  where: string,
  root: string,
  folders: readonly string[],
  findings: Findings,
): string[] {
  // Each real folder once: links may lead round in a circle, or to one place by two ways.
  const seen = new Set<string>();
  const found: { path: string; images: string[] }[] = [];
  for (const folder of folders) {
    for (let above = dirname(join(root, folder)); ; above = dirname(above)) {
      seen.add(identityOf(where, above));
      if (above === dirname(above)) break;
    }
  }
  // Level by level, so that the shortest way to a folder is taken.
  const open = [...folders];
  for (const path of open) {
    const full = join(root, path);
    const identity = identityOf(where, full);
    if (seen.has(identity)) {
      findings.loops.push(full);
      continue;
    }
    seen.add(identity);
    const entries = entriesOf(where, full);
    findings.add(full, entries);
    found.push({ path, images: entries.images });
    for (const name of entries.folders) open.push(join(path, name));
  }
  found.sort((a, b) => byCodePoint(a.path, b.path));
  return found.flatMap(({ path, images }) => images.map((name) => join(path, name)));
}

/** @throws DataError naming the folder */
export function entriesOf(where: string, path: string): FolderEntries {
  try {
    return readEntries(path);
  } catch (error) {
    throw unreadable(where, path, error);
  }
}

/** @throws DataError naming the folder, which may be gone since it was listed */
function identityOf(where: string, path: string): string {
  try {
    const { dev, ino } = statSync(path, { bigint: true });
    return `${dev}:${ino}`;
  } catch (error) {
    throw unreadable(where, path, error);
  }
}

const unreadable = (where: string, path: string, error: unknown): DataError =>
  new DataError(
    `${where}: ${printableLine(path)} cannot be read (${reasonOf(error)}). Make it readable, or move it away.`,
    { cause: error, file: path },
  );
