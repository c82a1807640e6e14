/** Whether a new run may begin in a folder, and what is moved out of its way before it does. */
import { existsSync, readdirSync, realpathSync, rmSync } from 'node:fs';
import { join, relative, sep } from 'node:path';
import { checkFolder } from '../files/folder.js';
import { setAside } from '../files/set-aside.js';
import { listed } from '../printable.js';
import { RunFolderError } from './errors.js';
import { isRun } from './run-config.js';

/** Everything a run may have written, config.json last: with it the folder is still a run. */
const writtenNames = [
  'metrics.jsonl',
  'checkpoints',
  'pruning.json',
  'importance',
  'model.safetensors',
  'tensorboard',
  'report',
  'config.json',
];

export interface CreateOptions {
  /**
   * Replaces a run that is already there, and only a run; default false. The old one is deleted once the new one has
   * something: `discard` brings it back.
   */
  readonly overwrite?: boolean | undefined;
  /** Files that the new run is made of, such as the model that it begins with and its teacher: never deleted. */
  readonly sources?: readonly string[] | undefined;
}

/**
 * @param folder - absolute
 * @throws RunFolderError if it has anything in it that may not be deleted
 */
export function checkFresh(folder: string, { overwrite, sources = [] }: CreateOptions): void {
  checkFolder(folder);
  if (!existsSync(folder)) return;
  const found = contents(folder);
  const hasRun = isRun(folder);
  if (found.length > 0 && !(hasRun && overwrite === true)) throw notEmpty(folder, found, hasRun);
  const source = sources.find((file) => wouldBeDeleted(folder, file));
  if (source !== undefined) {
    throw new RunFolderError(
      folder,
      `${folder} holds ${source}, which the new run needs and \`overwrite\` would delete, expected another folder. ` +
        'Choose one.',
      { isUsage: true },
    );
  }
}

/** Moves what a run may have written out of the way, and nothing else. */
export function setRunAside(folder: string): void {
  setAside(folder, writtenNames);
}

/** Deletes what a run may have written, and nothing else. */
export function deleteRun(folder: string): void {
  for (const name of writtenNames) rmSync(join(folder, name), { recursive: true, force: true });
}

/**
 * What is in the folder, less what a process killed while it began a run may have left, and less runs
 * of their own: those that this one builds on.
 */
function contents(folder: string): string[] {
  return readdirSync(folder).filter((name) => {
    if (name.startsWith('run.lock') || /^\.config\.json\..*\.tmp$/.test(name)) return false;
    if (isRun(join(folder, name))) return false;
    return !(name === 'checkpoints' && readdirSync(join(folder, name)).length === 0);
  });
}

/** Whether a file is among what `create` deletes of a folder. */
function wouldBeDeleted(folder: string, file: string): boolean {
  if (!existsSync(file)) return false;
  const [first = ''] = relative(realpathSync(folder), realpathSync(file)).split(sep);
  return writtenNames.includes(first);
}

function notEmpty(folder: string, found: readonly string[], hasRun: boolean): RunFolderError {
  return new RunFolderError(
    folder,
    hasRun
      ? `${folder} holds a run already, expected a new or empty folder. ` +
          'Resume it (`resume`), delete it (`overwrite`), or choose another folder.'
      : `${folder} is not empty (${listed(found, 4)}) and is no run, expected a new or empty folder. ` +
          'Choose another one.',
    { isUsage: true },
  );
}
