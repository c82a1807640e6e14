import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { tinyTraining, writeTinyImages } from '../testing/tiny.js';
import { examine } from './examine.js';
import { trainingBytes } from './resources.js';

let images = '';
beforeAll(async () => {
  images = mkdtempSync(join(tmpdir(), 'mp-examine-'));
  await writeTinyImages(images);
});
afterAll(() => {
  rmSync(images, { recursive: true, force: true });
});

describe('the memory that a run of a comparison takes', () => {
  it.each([
    ['counts images that stay in memory', 'fashion-mnist', 70_000 * 28 * 28],
    ['does not count images that are read from files', 'folder', 0],
  ])('%s', async (_what, dataset, bytes) => {
    const tiny = tinyTraining(images);
    const train = {
      ...tiny,
      dataset,
      ...(dataset !== 'folder' && { data: undefined, imageSize: undefined }),
    };
    const found = await examine(
      {
        train,
        finetune: tiny.recipe,
        seeds: [0],
        rates: [0.5],
        cut: { importance: 'l1', ranking: 'global', normalize: 'mean', roundTo: 1, maxRate: 1 },
        refill: { fillback: 0.1 },
        rsst: { epochs: 1 },
      },
      undefined,
    );
    const without = trainingBytes(found.model, tiny.recipe.batchSize ?? 128, 0);
    found.model.dispose();
    expect(found.bytes - without).toBe(bytes);
  });
});
