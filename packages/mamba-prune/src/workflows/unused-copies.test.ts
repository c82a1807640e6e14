// What is said of a cached size that the augmentation has no use for.
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { pruneRun } from './prune/run.js';
import { trainRun } from './train-run.js';

let dir = '';
const at = (...path: string[]): string => join(dir, ...path);

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'mp-unused-copies-'));
  vi.stubEnv('XDG_CACHE_HOME', at('cache'));
  for (const folder of ['train/a', 'train/b', 'val/a', 'val/b']) {
    mkdirSync(at('photos', folder), { recursive: true });
    const create = { width: 64, height: 48, channels: 3, background: '#345678' } as const;
    await sharp({ create })
      .jpeg()
      .toFile(at('photos', folder, 'x.jpg'));
  }
});

afterAll(() => {
  vi.unstubAllEnvs();
  rmSync(dir, { recursive: true, force: true });
});

const photos = () => ({ dataset: 'folder', data: at('photos'), cachedSize: 40 });
const hasCopies = (): boolean =>
  existsSync(at('cache/mamba-prune')) &&
  readdirSync(at('cache/mamba-prune')).some((name) => name.startsWith('resized-'));

async function trained(out: string, augment: string, plainAugment?: string): Promise<string> {
  const notes: string[] = [];
  const recipe = { epochs: 2, batchSize: 2, augment, plainAugment, plainEpochs: 1 };
  const settings = { arch: 'resnet20', model: {}, imageSize: 32, ...photos(), recipe } as const;
  const { model } = await trainRun(settings, {
    out: at(out),
    data: { onNote: (note) => notes.push(note) },
  });
  model.dispose();
  return notes.join(' ');
}

describe('a cached size', () => {
  it('is said to change nothing where no random crops are made', async () => {
    expect(await trained('without', 'standard')).toContain(
      'The cached size of 40 px changes nothing: copies are for random resized crops, and the augmentation standard makes none.',
    );
    expect(hasCopies()).toBe(false);

    const notes: string[] = [];
    const recipe = { epochs: 0, batchSize: 2, augment: 'standard' };
    const how = { method: 'oneshot', ranking: 'global', normalize: 'mean' } as const;
    const limits = { roundTo: 1, maxRate: 1, rates: { channels: 0.5 } };
    const { model } = await pruneRun(
      { model: at('without/model.safetensors'), ...photos(), ...how, ...limits, recipe },
      { out: at('cut'), data: { onNote: (note) => notes.push(note) } },
    );
    model.dispose();
    expect(notes.join(' ')).toContain('The cached size of 40 px changes nothing');
  });

  it('is used in silence where they are made, if only in the last epochs', async () => {
    expect(await trained('last', 'standard', 'imagenet')).not.toContain('changes nothing');
    expect(hasCopies()).toBe(true);
    expect(await trained('all', 'imagenet')).not.toContain('changes nothing');
  });
});
