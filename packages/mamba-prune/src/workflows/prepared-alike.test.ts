// A training goes on with images that are prepared as before.
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { trainRun } from './train-run.js';

let dir = '';
beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'mp-prepared-alike-'));
  for (const folder of ['train/a', 'train/b', 'val/a', 'val/b']) {
    mkdirSync(join(dir, 'photos', folder), { recursive: true });
    const create = { width: 64, height: 48, channels: 3, background: '#345678' } as const;
    await sharp({ create })
      .jpeg()
      .toFile(join(dir, 'photos', folder, 'x.jpg'));
  }
});
afterAll(() => {
  rmSync(dir, { recursive: true, force: true });
});

async function training(out: string, epochs: number, more: object, resume = false): Promise<void> {
  const data = { dataset: 'folder', data: join(dir, 'photos'), imageSize: 32 };
  const recipe = { epochs, batchSize: 2, augment: 'none' } as const;
  const settings = { arch: 'resnet20', model: {}, ...data, recipe, ...more };
  const { model } = await trainRun(settings, { out: join(dir, out), resume });
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
