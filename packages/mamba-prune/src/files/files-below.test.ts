import { execFileSync } from 'node:child_process';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { UsageError } from '../errors.js';
import { eachTestsFolder } from '../training/testing/each-folder.js';
import { filesBelow } from './files-below.js';

const folder = eachTestsFolder();

it('gives the files that are wanted, sorted, with their sizes, and looks at no others', () => {
  for (const name of ['b', '.git']) mkdirSync(join(folder.path, name));
  writeFileSync(join(folder.path, 'c'), 'ccc');
  writeFileSync(join(folder.path, 'b', 'x'), 'x');
  symlinkSync('c', join(folder.path, 'a'));
  symlinkSync('nothing', join(folder.path, '.git', 'gone'));
  expect(filesBelow(folder.path, (path) => !path.startsWith('.'))).toEqual([
    { file: 'a', fileBytes: 3 },
    { file: 'b/x', fileBytes: 1 },
    { file: 'c', fileBytes: 3 },
  ]);
});

it('takes a folder twice where links lead to it from two places', () => {
  mkdirSync(join(folder.path, 'a'));
  writeFileSync(join(folder.path, 'a', 'x'), 'x');
  symlinkSync('a', join(folder.path, 'b'));
  expect(filesBelow(folder.path).map(({ file }) => file)).toEqual(['a/x', 'b/x']);
});

it('takes a backslash in a name for what it is', () => {
  writeFileSync(join(folder.path, String.raw`a\b`), 'x');
  expect(filesBelow(folder.path)).toEqual([{ file: String.raw`a\b`, fileBytes: 1 }]);
});

it.each<[string, (path: string) => void, string]>([
  [
    'a link to nothing',
    (path) => {
      symlinkSync('nothing', join(path, 'gone'));
    },
    'sub/gone is a link to nothing, or was deleted meanwhile, expected a file or a folder. Mend it, or take it out of the folder.',
  ],
  [
    'a link to itself',
    (path) => {
      symlinkSync('self', join(path, 'self'));
    },
    'sub/self is a link that leads back to itself, expected',
  ],
  [
    'a link to a folder around it',
    (path) => {
      symlinkSync('..', join(path, 'up'));
    },
    'sub/up is a link to a folder around it, expected',
  ],
  [
    'a pipe',
    (path) => {
      execFileSync('mkfifo', [join(path, 'pipe')]);
    },
    'sub/pipe is a pipe, a socket or a device, expected',
  ],
  [
    'a name that is no UTF-8',
    (path) => {
      writeFileSync(Buffer.concat([Buffer.from(`${path}/caf`), Buffer.from([0xe9])]), '');
    },
    'sub/caf\u{fffd} has a name that is no UTF-8, expected',
  ],
])('refuses %s by name', (_, make, words) => {
  mkdirSync(join(folder.path, 'sub'));
  make(join(folder.path, 'sub'));
  const listing = (): unknown => filesBelow(folder.path);
  expect(listing).toThrow(UsageError);
  expect(listing).toThrow(`${folder.path}: ${words}`);
});
