import { symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { openModel } from '../workflows/open-model.js';
import { eachTestsFolder } from '../training/testing/each-folder.js';
import { linkTarget, whyMissing } from './missing.js';

const folder = eachTestsFolder();

it('tells a link to nothing from nothing', () => {
  const at = (name: string): string => join(folder.path, name);
  symlinkSync('../blobs/01', at('link'));
  writeFileSync(at('file'), '');
  expect(whyMissing(at('link'))).toBe('is a link to ../blobs/01, where nothing is');
  expect(whyMissing(at('none'))).toBe('does not exist');
  expect(linkTarget(at('file'))).toBeUndefined();
});

it('is said of a model, given by its path or by the folder of a snapshot that was copied without its blobs', async () => {
  const path = join(folder.path, 'model.safetensors');
  symlinkSync('../../blobs/01', path);
  for (const given of [path, folder.path]) {
    await expect(openModel(given)).rejects.toThrow(
      `${path}${given === path ? '' : ', which'} is a link to ../../blobs/01, where nothing is, expected a`,
    );
  }
});
