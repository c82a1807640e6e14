// What the program needs of the system before it can do anything. Imports nothing but Node.js: with too
// few files that may be opened, importing is what fails.
import { readFileSync } from 'node:fs';

/** Node.js opens a program's modules all at once. Measured: 160 are enough for every command, 144 are not. */
export const fewestOpenFiles = 192;

/** @throws Error if this process may open fewer files than it needs */
export function checkOpenFiles(limit = openFilesLimit()): void {
  if (limit === undefined || limit >= fewestOpenFiles) return;
  throw new Error(
    `this process may have ${limit} files open (ulimit -n), expected at least ${fewestOpenFiles}. Raise the limit.`,
  );
}

/** Undefined where the system does not tell. */
function openFilesLimit(): number | undefined {
  try {
    const limits = readFileSync('/proc/self/limits', 'utf8');
    const [, soft] = /^Max open files\s+(\d+)/m.exec(limits) ?? [];
    return soft === undefined ? undefined : Number(soft);
  } catch {
    return undefined;
  }
}

/** @throws Error if the folder that the program was started in was deleted, so that no path means anything */
export function checkCurrentFolder(): void {
  try {
    process.cwd();
  } catch (error) {
    throw new Error(
      'the current folder does not exist any more. Change to one that does, and give the command again.',
      { cause: error },
    );
  }
}
