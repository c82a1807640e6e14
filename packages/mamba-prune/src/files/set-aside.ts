/** What a folder held before something new began in it: it comes back should that come to nothing. */
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';

/** Hidden, so that nobody who looks for runs takes it for one. */
export const asideName = '.replaced';

/**
 * Moves files and folders out of the way. Where some were moved before and never dropped, the process that did it was killed
 * before there was anything new: what it left is deleted, and what it moved stays.
 * @param names - in the folder; the last one says what it is, and is moved last
 */
export function setAside(folder: string, names: readonly string[]): void {
  const aside = join(folder, asideName);
  const last = names.at(-1);
  const isComplete = last !== undefined && existsSync(join(aside, last));
  for (const name of names) {
    const path = join(folder, name);
    if (!existsSync(path)) continue;
    if (isComplete) {
      rmSync(path, { recursive: true, force: true });
      continue;
    }
    mkdirSync(aside, { recursive: true });
    renameSync(path, join(aside, name));
  }
}

/** Moves everything back, to where nothing is in its way any more. */
export function bringBack(folder: string): void {
  const aside = join(folder, asideName);
  if (!existsSync(aside)) return;
  for (const name of readdirSync(aside)) renameSync(join(aside, name), join(folder, name));
  dropAside(folder);
}

/** Deletes it: there is something new in its place. */
export function dropAside(folder: string): void {
  rmSync(join(folder, asideName), { recursive: true, force: true });
}
