import { relative } from 'node:path';

/** A command line that can be pasted into a shell. */
export function shellCommand(words: readonly string[]): string {
  return words
    .map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`))
    .join(' ');
}

/** As a user in the current folder would type it; absolute if that is shorter. */
export function relativePath(path: string): string {
  const short = relative(process.cwd(), path);
  return short !== '' && short.length < path.length ? short : path;
}

/**
 * What to type to go on with a run. Threads and device that were asked for are asked for again: the
 * result is the same bit for bit only with them.
 */
export function resumeCommand(
  command: string,
  out: string,
  {
    threads,
    device,
    workers,
  }: { readonly threads?: number; readonly device?: string; readonly workers?: number },
): string {
  return shellCommand([
    ...['mamba-prune', command, '--resume', '--out', out],
    ...(threads === undefined ? [] : ['--threads', String(threads)]),
    ...(device === undefined ? [] : ['--device', device]),
    ...(workers === undefined ? [] : ['--workers', String(workers)]),
  ]);
}
