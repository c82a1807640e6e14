import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { UsageError } from '../errors.js';
import { RunFolderError } from '../training/errors.js';
import { pruneRun } from './prune/run.js';
import { recipeOfRun } from './recipe-of-run.js';
import { tinyPruning, tinyTraining, writeTinyImages } from './testing/tiny.js';
import { trainRun } from './train-run.js';

let dir = '';
const at = (...path: string[]): string => join(dir, ...path);

const recipe = {
  epochs: 2,
  batchSize: 8,
  optimizer: 'muon',
  lr: 3e-3,
  warmupEpochs: 0.5,
  mixup: 0.3,
  plainEpochs: 1,
  emaDecay: 0.9,
} as const;
const own = { seed: 4, maxTrainImages: 16, evalEvery: 2, precision: 'fp32' } as const;

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'mp-recipe-of-run-'));
  await writeTinyImages(at('images'));
  const settings = { ...tinyTraining(at('images')), keepEpochs: [], recipe: { ...recipe, ...own } };
  const dense = await trainRun(settings, { out: at('dense') });
  dense.model.dispose();
  for (const [out, epochs] of [
    ['cut', 0],
    ['pruned', 1],
  ] as const) {
    const model = at('dense', 'model.safetensors');
    const pruning = tinyPruning(model, at('images'), {
      recipe: { ...recipe, epochs, lr: 1e-3, plainEpochs: 0 },
    });
    const pruned = await pruneRun(pruning, { out: at(out) });
    pruned.model.dispose();
  }
});
afterAll(() => {
  rmSync(dir, { recursive: true, force: true });
});

describe('recipeOfRun', () => {
  it('has what a training was trained by, and not what is of that run alone', () => {
    expect(recipeOfRun(at('dense'))).toEqual(recipe);
    expect(recipeOfRun(at('dense', 'model.safetensors'))).toEqual(recipe);
  });

  it('is that of the training after a cut, for a pruning', () => {
    expect(recipeOfRun(at('pruned'))).toEqual({ ...recipe, epochs: 1, lr: 1e-3, plainEpochs: 0 });
  });

  it('has the epochs that a training has grown to', async () => {
    cpSync(at('dense'), at('grown'), { recursive: true });
    const settings = { ...tinyTraining(at('images')), keepEpochs: [] };
    const grown = await trainRun(
      { ...settings, recipe: { ...recipe, ...own, epochs: 3 } },
      { out: at('grown'), resume: true },
    );
    grown.model.dispose();
    expect(recipeOfRun(at('grown')).epochs).toBe(3);
  });

  it('says what is no run, and which has no recipe', () => {
    const call = (path: string) => () => recipeOfRun(path);
    expect(call(at('images'))).toThrow(UsageError);
    expect(call(at('images'))).toThrow(/images, expected the folder of a run of train or prune/);
    expect(call(at('nowhere'))).toThrow(/nowhere, expected the folder of a run of train or prune/);
    expect(call(at('cut'))).toThrow(/cut, which was cut and not trained/);
    const other = at('other');
    mkdirSync(other);
    const config = JSON.parse(readFileSync(at('dense', 'config.json'), 'utf8')) as object;
    writeFileSync(join(other, 'config.json'), JSON.stringify({ ...config, command: 'compare' }));
    expect(call(other)).toThrow(/other, a run of 'compare', expected one of train or prune/);
    expect(call(undefined as unknown as string)).toThrow(UsageError);
    expect(call('')).toThrow('recipeOfRun: got an empty path, expected the path of a run');
  });

  it('has the epochs after the cut where the schedule began before it, and their share of all else', () => {
    const config = JSON.parse(readFileSync(at('pruned', 'config.json'), 'utf8')) as {
      settings: Record<string, unknown>;
    };
    const through = at('through');
    mkdirSync(through);
    const recipe = { epochs: 12, warmupEpochs: 2, plainEpochs: 4, plainAugment: 'standard' };
    const write = (rsst: object) => {
      const settings = { ...config.settings, method: 'rsst', recipe, rsst };
      writeFileSync(join(through, 'config.json'), JSON.stringify({ ...config, settings }));
    };
    write({ units: 'doomed', epochs: 4, lrThrough: true });
    expect(recipeOfRun(through)).toEqual({ ...recipe, warmupEpochs: 1.5, plainEpochs: 3 });
    // There are as many regularised epochs as others by default.
    write({ units: 'doomed', lrThrough: true });
    expect(recipeOfRun(through)).toEqual({ ...recipe, warmupEpochs: 1, plainEpochs: 2 });
    write({ units: 'doomed', epochs: 4 });
    expect(recipeOfRun(through)).toEqual(recipe);
  });

  it('says of a damaged config.json that it is damaged', () => {
    const damaged = at('damaged');
    mkdirSync(damaged);
    const text = readFileSync(at('dense', 'config.json'), 'utf8');
    const write = (content: string) => {
      writeFileSync(join(damaged, 'config.json'), content);
      return () => recipeOfRun(damaged);
    };
    const cut = write(text.slice(0, 200));
    expect(cut).toThrow(RunFolderError);
    expect(cut).toThrow(/config\.json cannot be read/);
    const config = JSON.parse(text) as { settings: { recipe: object } };
    const changes = [
      { milestones: 3 },
      { milestones: ['a'] },
      { epochs: 0.5 },
      { epochs: -1 },
      { warmupEpochs: 'a' },
      { plainEpochs: [] },
    ];
    for (const change of changes) {
      const settings = { ...config.settings, recipe: { ...config.settings.recipe, ...change } };
      const changed = write(JSON.stringify({ ...config, settings }));
      expect(changed).toThrow(RunFolderError);
      const [name = ''] = Object.keys(change);
      expect(changed).toThrow(
        new RegExp(`the settings in .*config\\.json are damaged: [^]*recipe\\.${name}`),
      );
    }
    expect(write(JSON.stringify({ ...config, settings: null }))).toThrow(RunFolderError);
    // That of another program.
    expect(write('{}')).toThrow(/damaged, expected the folder of a run/);
  });
});
