/** The files of a folder and of those below it. */
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';

export interface FileBelow {
  /** From the folder on, with `/` between its parts on every system. */
  readonly file: string;
  readonly fileBytes: number;
}

/**
 * Regular files, sorted by name; links count as what they lead to.
 * @param isWanted - whether a path is looked at; by default all are
 * @throws the system's error for a folder that cannot be read, or a link to nothing
 */
export function filesBelow(
  folder: string,
  isWanted: (path: string) => boolean = () => true,
): FileBelow[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((name) => name.replaceAll('\\', '/'))
    .filter(isWanted)
    .sort()
    .map((file) => ({ file, found: statSync(join(folder, file)) }))
    .filter(({ found }) => found.isFile())
    .map(({ file, found }) => ({ file, fileBytes: found.size }));
}
