import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CompareFolder } from './compare/folder.js';
import { quickComparison } from './compare/quick.js';
import { withEarlierNames } from './earlier-names.js';
import { type QuickstartPreset, quickstart, quickstartPreset } from './quickstart.js';
import { tinyRecipe, writeTinyImages } from './testing/tiny.js';
import { trainRun } from './train-run.js';

let folder: string;
let preset: QuickstartPreset;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'mp-quickstart-'));
  const images = join(folder, 'images');
  await writeTinyImages(images);
  const { train } = quickstartPreset;
  preset = {
    ...quickstartPreset,
    train: { ...train, dataset: 'folder', data: images, imageSize: 28, recipe: tinyRecipe },
    finetune: { ...tinyRecipe, epochs: 0 },
    bench: { batches: [1], rounds: 1, minRoundMs: 1 },
  };
});
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

describe('a quickstart of an earlier version, whose model had no name of its own', () => {
  it('is used as it is', async () => {
    const out = join(folder, 'quick');
    const earlier = withEarlierNames(preset.train);
    expect(earlier.arch).toBe('mamba_nano');
    (await trainRun(earlier, { out: join(out, 'dense') })).model.dispose();
    const steps: string[] = [];
    const stop = new AbortController();
    const hooks = {
      onStep: (step: string, state: string) => {
        steps.push(`${step} ${state}`);
        stop.abort();
      },
    };
    await quickstart({ out, signal: stop.signal }, preset, hooks).catch(() => undefined);
    expect(steps[0]).toBe('train finished');
  });

  it('is gone on with as a comparison', () => {
    const out = join(folder, 'comparison');
    const today = { ...quickComparison, dense: undefined, targets: ['ssm', 'mlp'], threads: 1 };
    const earlier = { ...today, train: withEarlierNames(today.train) };
    CompareFolder.open(out, earlier).release();
    const again = CompareFolder.open(out, today);
    again.release();
    // The runs that are there have it in their settings.
    expect(again.settings.train).toEqual(earlier.train);
    const wider = { ...today, train: { ...today.train, model: { dState: 4 } } };
    expect(() => CompareFolder.open(out, wider)).toThrow(/holds a comparison with other settings/);
  });
});
