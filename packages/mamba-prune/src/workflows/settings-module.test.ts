// A run whose model is of a family that is not registered says which module to load.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { registerFamily } from '../models/families.js';
import { ownFamily } from '../models/testing/own-family.js';
import { pruneRun } from './prune/run.js';
import { storedSettings } from './settings.js';
import { writeTinyImages } from './testing/tiny.js';
import { trainRun } from './train-run.js';

const folder = mkdtempSync(join(tmpdir(), 'settings-module-'));
afterAll(() => {
  rmSync(folder, { recursive: true });
});

it('names the module that the run recorded', async () => {
  await writeTinyImages(join(folder, 'images'));
  registerFamily(ownFamily('recorded', { module: './recorded.js' }));
  const out = join(folder, 'run');
  const run = await trainRun(
    {
      arch: 'recorded_small',
      model: {},
      dataset: 'folder',
      data: join(folder, 'images'),
      imageSize: 8,
      recipe: { epochs: 1, batchSize: 8 },
    },
    { out },
  );
  run.model.dispose();
  expect(storedSettings(out, 'train').arch).toBe('recorded_small');
  const path = join(out, 'config.json');
  const config = readFileSync(path, 'utf8');
  expect(JSON.parse(config)).toMatchObject({
    model: { family: 'recorded' },
    module: './recorded.js',
  });
  const cut = join(folder, 'cut');
  const { model } = await pruneRun(
    {
      model: join(out, 'model.safetensors'),
      method: 'oneshot',
      rates: { mlp: 0.5 },
      ranking: 'global',
      normalize: 'mean',
      roundTo: 1,
      maxRate: 1,
      recipe: { epochs: 0 },
    },
    { out: cut },
  );
  model.dispose();
  writeFileSync(path, config.replaceAll('"recorded"', '"elsewhere"'));
  expect(() => storedSettings(out, 'train')).toThrow(
    `resume: ${out}: model: got family 'elsewhere', which is not registered. It was written with the module ./recorded.js: ` +
      'load it with `loadPlugin` ./recorded.js, or import it before.',
  );

  const ofCut = join(cut, 'config.json');
  writeFileSync(ofCut, readFileSync(ofCut, 'utf8').replaceAll('"recorded"', '"elsewhere"'));
  expect(() => storedSettings(cut, 'prune')).toThrow(
    `resume: ${cut}: model: got family 'elsewhere', which is not registered. It was written with the module ./recorded.js: `,
  );
});
