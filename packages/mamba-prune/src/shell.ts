import { relative } from 'node:path';
import { programWords } from './called-as.js';

/** A command line that can be pasted into a shell. */
export function shellCommand(words: readonly string[]): string {
  return words
    .map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`))
    .join(' ');
}

/**
 * A command line over several lines, broken before its flags, that can be pasted as it is.
 * @param width - columns; what does not fit by itself stays whole
 */
export function wrapCommand(words: readonly string[], width: number): string {
  const isFlag = (word: string): boolean => word.startsWith('--');
  const parts: string[][] = [];
  for (const word of words) {
    if (isFlag(word) || parts.length === 0) parts.push([]);
    parts.at(-1)?.push(word);
  }
  const lines: string[] = [];
  for (const part of parts.map(shellCommand)) {
    const last = lines.at(-1);
    // Two columns for the backslash.
    const fits = last !== undefined && last.length + 1 + part.length + 2 <= width;
    if (fits) lines[lines.length - 1] = `${last} ${part}`;
    else lines.push(last === undefined ? part : `    ${part}`);
  }
  return lines.join(' \\\n');
}

/** As a user in the current folder would type it; absolute if that is shorter. */
export function relativePath(path: string): string {
  const short = relative(process.cwd(), path);
  return short !== '' && short.length < path.length ? short : path;
}

/**
 * What to type to go on with a run. Threads, device and modules that were asked for are asked for again: the
 * result is the same bit for bit only with them.
 */
export function resumeCommand(
  command: string,
  out: string,
  {
    threads,
    device,
    workers,
    plugin = [],
  }: {
    readonly threads?: number;
    readonly device?: string;
    readonly workers?: number;
    readonly plugin?: readonly string[];
  },
): string {
  return shellCommand([
    ...programWords(),
    command,
    '--resume',
    '--out',
    out,
    ...(threads === undefined ? [] : ['--threads', String(threads)]),
    ...(device === undefined ? [] : ['--device', device]),
    ...(workers === undefined ? [] : ['--workers', String(workers)]),
    ...plugin.flatMap((name) => ['--plugin', name]),
  ]);
}
