import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
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
  expect(() => filesBelow(folder.path)).toThrow('ENOENT');
});
