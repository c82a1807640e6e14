// Where a report may be written: nowhere, or over an earlier report, never over anything else.
import { accessSync, closeSync, constants, existsSync, readSync, statSync } from 'node:fs';
import { dirname, extname, join } from 'node:path';
import { openRegularFile } from '@mamba-prune/libtorch/files';
import { UsageError } from 'mamba-prune';

/** Stands in the head of every report. */
export const generatorTag = '<meta name="generator" content="mamba-prune report">';

/** Pages written before there was a generator's tag have these two lines in their head. */
const earlierMarks = [
  '<title>mamba-prune</title>',
  '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; ',
];

/** The head of a page up to its style sheet is shorter; the data of the runs stand behind it. */
const headBytes = 4096;

/**
 * Before models are timed for minutes.
 * @throws UsageError if no file can be written there, or one stands there that is no report, or its name is not that of a page
 */
export function checkWritable(path: string): void {
  if (existsSync(path)) checkReplaceable(path);
  checkIsPage(path);
  let folder = dirname(path);
  while (!existsSync(folder)) folder = dirname(folder);
  try {
    if (!statSync(folder).isDirectory()) throw new Error('it is no folder');
    accessSync(folder, constants.W_OK);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new UsageError(
      `\`out\`: nothing can be written in ${folder} (${code ?? message}), expected a folder that you ` +
        `may write. Name another file (\`out\`).`,
    );
  }
}

/** A browser shows the text of a page whose name ends otherwise. */
function checkIsPage(path: string): void {
  const ending = extname(path);
  if (/^\.html?$/i.test(ending)) return;
  throw new UsageError(
    `\`out\`: ${path} ends ${ending === '' ? 'without a format' : `in ${ending}`}, expected .html, which is what is written. ` +
      `Give such a name, such as ${path.slice(0, path.length - ending.length)}.html.`,
  );
}

/** A slip in a name must not cost a model, or the measurements of a run. */
function checkReplaceable(path: string): void {
  const there = statSync(path);
  if (there.isDirectory()) {
    throw new UsageError(
      `\`out\`: ${path} is a folder, expected a file, such as ${join(path, 'report.html')}.`,
    );
  }
  let is = 'is no report';
  try {
    // Reading a named pipe would wait for ever.
    if (there.isFile() && isReport(beginningOf(path))) return;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    is = `cannot be read (${code ?? message})`;
  }
  throw new UsageError(
    `\`out\`: ${path} exists and ${is}, expected a new file or an earlier report. Give another name.`,
  );
}

const isReport = (head: string): boolean =>
  head.startsWith('<!doctype html>') &&
  (head.includes(generatorTag) || earlierMarks.every((mark) => head.includes(mark)));

function beginningOf(path: string): string {
  const { fd } = openRegularFile(path, path);
  try {
    const bytes = Buffer.alloc(headBytes);
    return bytes.toString('utf8', 0, readSync(fd, bytes, 0, headBytes, 0));
  } finally {
    closeSync(fd);
  }
}
