// A training goes on with images that are prepared as before.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { tinyTraining, writeTinyImages } from './testing/tiny.js';
import { trainRun } from './train-run.js';

let dir = '';
beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'mp-prepared-alike-'));
  await writeTinyImages(join(dir, 'images'));
});
afterAll(() => {
  rmSync(dir, { recursive: true, force: true });
});

async function training(out: string, epochs: number, more: object, resume = false): Promise<void> {
  const settings = tinyTraining(join(dir, 'images'));
  const { model } = await trainRun(
    { ...settings, keepEpochs: [], recipe: { ...settings.recipe, epochs }, ...more },
    { out: join(dir, out), resume },
  );
  model.dispose();
}

describe('a training that goes on', () => {
  it('refuses another preparation of the images by its names, and changes nothing', async () => {
    await training('usual', 1, {});
    const before = readFileSync(join(dir, 'usual/config.json'), 'utf8');

    await expect(
      training('usual', 2, { interpolation: 'bicubic', cropShare: 0.9 }, true),
    ).rejects.toThrow(
      'resume: the preparation of the images is not the one that the run began with: interpolation: got "bicubic", ' +
        'expected "bilinear"; cropShare: got 0.9, expected 0.875.',
    );
    expect(readFileSync(join(dir, 'usual/config.json'), 'utf8')).toBe(before);
    await training('usual', 2, { interpolation: 'bilinear' }, true);
  });

  it('takes that of the run for the usual one', async () => {
    await training('bicubic', 1, { interpolation: 'bicubic' });
    await expect(training('bicubic', 2, {}, true)).rejects.toThrow(
      'interpolation: got "bilinear", expected "bicubic"',
    );
    await training('bicubic', 2, { interpolation: 'bicubic' }, true);
  });
});
