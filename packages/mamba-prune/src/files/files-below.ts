/** The files of a folder and of those below it. */
import { isUtf8 } from 'node:buffer';
import { type BigIntStats, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { UsageError } from '../errors.js';
import { printableLine } from '../printable.js';

export interface FileBelow {
  /** From the folder on, with `/` between its parts on every system. */
  readonly file: string;
  readonly fileBytes: number;
}

/**
 * Regular files, sorted by name; links count as what they lead to. They are meant to be handed on together: what none of them
 * could be made of is an error, and not left out.
 * @param isWanted - whether a path, and what is below it, is looked at; by default all are
 * @throws UsageError for a folder that cannot be read, a link to nothing or to a folder around it, a pipe or the like, and a name
 *   that is no UTF-8
 */
export function filesBelow(
  folder: string,
  isWanted: (path: string) => boolean = () => true,
): FileBelow[] {
  const found: FileBelow[] = [];
  visit('', new Set());
  return found.sort((a, b) => (a.file < b.file ? -1 : 1));

  /** @param around - the real folders that this one lies in */
  function visit(path: string, around: ReadonlySet<string>): void {
    const identity = identityOf(statAt(folder, path));
    if (around.has(identity)) {
      throw unusable(folder, path, 'is a link to a folder around it');
    }
    const inside = new Set(around).add(identity);
    for (const name of namesIn(folder, path)) {
      const file = path === '' ? name : `${path}/${name}`;
      if (!isWanted(file)) continue;
      const stat = statAt(folder, file);
      if (stat.isDirectory()) visit(file, inside);
      else if (stat.isFile()) found.push({ file, fileBytes: Number(stat.size) });
      else throw unusable(folder, file, 'is a pipe, a socket or a device');
    }
  }
}

/** As bytes: a name that is no UTF-8 would come back as another one. */
function namesIn(folder: string, path: string): string[] {
  let names: Uint8Array[];
  try {
    names = readdirSync(join(folder, path), { encoding: 'buffer' });
  } catch (error) {
    throw unusable(folder, path, `cannot be read (${codeOf(error)})`, error);
  }
  return names.map((name) => {
    const text = Buffer.from(name).toString('utf8');
    if (isUtf8(name)) return text;
    const file = path === '' ? text : `${path}/${text}`;
    throw unusable(folder, file, 'has a name that is no UTF-8');
  });
}

function statAt(folder: string, path: string): BigIntStats {
  try {
    return statSync(join(folder, path), { bigint: true });
  } catch (error) {
    const code = codeOf(error);
    const what = {
      ENOENT: 'is a link to nothing, or was deleted meanwhile',
      ELOOP: 'is a link that leads back to itself',
    }[code];
    throw unusable(folder, path, what ?? `cannot be read (${code})`, error);
  }
}

const identityOf = ({ dev, ino }: BigIntStats): string => `${dev}:${ino}`;

const codeOf = (error: unknown): string =>
  (error as NodeJS.ErrnoException).code ?? (error as Error).message;

const unusable = (folder: string, path: string, what: string, cause?: unknown): UsageError =>
  new UsageError(
    path === ''
      ? `${folder} ${what}, expected a folder of files.`
      : `${folder}: ${printableLine(path)} ${what}, expected a file or a folder. Mend it, or take it out of the folder.`,
    { cause },
  );
