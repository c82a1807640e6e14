// Runs on disk, read as a report reads them: which dense model is a pruned one compared with?
import {
  copyFileSync,
  cpSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { pruneRun, trainRun } from 'mamba-prune';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  tinyPruning,
  tinyRecipe,
  tinyTraining,
} from '../../../mamba-prune/src/workflows/testing/tiny.js';
import type { RunData } from '../page-data/run.js';
import { type SmallRuns, makeSmallRuns } from '../testing/small-runs.js';
import { baselineOf } from './baseline.js';
import { collect } from './collect.js';
import { findRuns } from './find-runs.js';

let small: SmallRuns;
beforeAll(async () => {
  small = await makeSmallRuns();
});
afterAll(() => {
  small.remove();
});

const at = (...names: string[]): string => join(small.folder, ...names);
const modelOf = (run: string): string => join(run, 'model.safetensors');

/** A folder with copies of runs, which know each other by content. */
function folderOf(name: string, runs: Readonly<Record<string, string>>): string {
  for (const [id, from] of Object.entries(runs)) {
    mkdirSync(dirname(at(name, id)), { recursive: true });
    cpSync(from, at(name, id), { recursive: true });
  }
  return at(name);
}

const readAll = (...paths: string[]): readonly RunData[] => collect(findRuns(paths)).runs;

function compared(id: string, runs: readonly RunData[]) {
  const run = runs.find((candidate) => candidate.id === id);
  if (!run) throw new Error(`no run ${id} among ${runs.map((other) => other.id).join(', ')}`);
  const found = baselineOf(run, runs);
  return found && { ...found, run: found.run?.id };
}

type Changes = Parameters<typeof tinyPruning>[2];

async function prune(out: string, changes: Changes, source = join(small.runs, 'dense')) {
  const settings = tinyPruning(modelOf(source), small.images, changes);
  (await pruneRun(settings, { out })).model.dispose();
  return out;
}

const uncut = { ssm: 0, mlp: 0 };
const recipe = { ...tinyRecipe, epochs: 1 };

describe('a pruned run is compared', () => {
  it('with the dense model before, where none was trained alike, and says by how much', () => {
    const runs = readAll(small.runs);
    const before = { run: 'dense', root: 'dense', isEqual: false, isFromStart: false };
    expect(compared('oneshot', runs)).toEqual({ ...before, epochs: 1 });
    // Two rounds of one epoch; two of regularised training and one after the cut.
    expect(compared('refill', runs)).toEqual({ ...before, epochs: 2 });
    expect(compared('rsst', runs)).toEqual({ ...before, epochs: 3 });
    expect(compared('dense', runs)).toBeUndefined();
  });

  it('with the dense model that was trained as many epochs, by whatever command', async () => {
    const one = await prune(at('uncut-1'), { rates: uncut, recipe });
    const three = await prune(at('uncut-3'), {
      rates: uncut,
      recipe: { ...recipe, epochs: 3, seed: 9 },
    });
    const two = at('on-2');
    const { recipe: trained, ...rest } = tinyTraining(small.images);
    const settings = {
      ...rest,
      keepEpochs: [],
      init: modelOf(join(small.runs, 'dense')),
      recipe: { ...trained, epochs: 2 },
    };
    (await trainRun(settings, { out: two })).model.dispose();
    const runs = readAll(small.runs, one, two, three);
    const equal = { root: 'runs/dense', isEqual: true, isFromStart: false };
    expect(compared('runs/oneshot', runs)).toEqual({ ...equal, run: 'uncut-1', epochs: 1 });
    expect(compared('runs/refill', runs)).toEqual({ ...equal, run: 'on-2', epochs: 2 });
    // Another seed is no other recipe.
    expect(compared('runs/rsst', runs)).toEqual({ ...equal, run: 'uncut-3', epochs: 3 });
    // A dense model that was trained on is not pruned.
    expect(compared('uncut-1', runs)).toBeUndefined();
    expect(compared('on-2', runs)).toBeUndefined();
  });

  it('with the dense model that was trained under the same teacher, wherever that lay', async () => {
    const { recipe: trained, ...rest } = tinyTraining(small.images);
    const teacher = modelOf(join(small.runs, 'dense'));
    const copy = at('teacher.safetensors');
    copyFileSync(teacher, copy);
    const taught = async (out: string, init: string, path: string): Promise<string> => {
      const settings = {
        ...rest,
        keepEpochs: [],
        init: modelOf(init),
        recipe: { ...trained, epochs: 1 },
        distill: { teacher: path, weight: 1 },
      };
      (await trainRun(settings, { out })).model.dispose();
      return out;
    };
    const cut = await prune(at('cut-before'), {});
    const runs = readAll(
      small.runs,
      cut,
      await taught(at('cut-taught'), cut, teacher),
      await taught(at('dense-taught'), join(small.runs, 'dense'), copy),
    );
    expect(compared('cut-taught', runs)).toMatchObject({ run: 'dense-taught', isEqual: true });
  });

  it('not with one of another recipe, data or length', async () => {
    const others = [
      await prune(at('other-lr'), { rates: uncut, recipe: { ...recipe, lr: 1e-3 } }),
      await prune(at('other-epochs'), { rates: uncut, recipe: { ...recipe, epochs: 4 } }),
      await prune(at('other-teacher'), { rates: uncut, recipe, distill: { weight: 0.5 } }),
    ];
    const runs = readAll(small.runs, ...others);
    for (const id of ['oneshot', 'refill', 'rsst']) {
      expect(compared(`runs/${id}`, runs)).toMatchObject({ run: 'runs/dense', isEqual: false });
    }
  });

  it('with the dense model as it is, where nothing was trained after the cut', async () => {
    const cut = await prune(at('only-cut'), {});
    expect(compared('only-cut', readAll(small.runs, cut))).toEqual({
      run: 'runs/dense',
      root: 'runs/dense',
      isEqual: true,
      epochs: 0,
      isFromStart: false,
    });
  });

  it('with its own seed, where there are several', async () => {
    const seeded = (seed: number) => ({ ...recipe, seed });
    const paths: string[] = [];
    for (const seed of [0, 1]) {
      const base = at('seeds', `seed-${seed}`, 'base');
      mkdirSync(dirname(base), { recursive: true });
      const training = tinyTraining(small.images);
      const settings = { ...training, recipe: { ...training.recipe, seed } };
      (await trainRun(settings, { out: base })).model.dispose();
      const beside = (name: string) => join(dirname(base), name);
      await prune(beside('dense'), { rates: uncut, recipe: seeded(seed) }, base);
      paths.push(await prune(beside('oneshot-70'), { recipe: seeded(seed) }, base));
    }
    const runs = readAll(at('seeds'));
    for (const seed of [0, 1]) {
      expect(compared(`seed-${seed}/oneshot-70`, runs)).toMatchObject({
        run: `seed-${seed}/dense`,
        root: `seed-${seed}/base`,
        isEqual: true,
        epochs: 1,
      });
    }
    // Two of one dense model, trained on with different seeds.
    const twin = await prune(at('twin'), { rates: uncut, recipe: seeded(tinyRecipe.seed ?? 0) });
    const stranger = await prune(at('z-stranger'), { rates: uncut, recipe: seeded(77) });
    const among = readAll(small.runs, twin, stranger);
    expect(compared('runs/oneshot', among)).toMatchObject({ run: 'twin', isEqual: true });
  });

  it('with what its pruning recorded, where the dense model is not in the folder', () => {
    const alone = readAll(folderOf('alone-1', { oneshot: join(small.runs, 'oneshot') }));
    expect(compared('oneshot', alone)).toEqual({
      run: undefined,
      root: undefined,
      isEqual: false,
      epochs: 1,
      isFromStart: false,
    });
  });

  it('with the one trained alike, even if what both began with is not in the folder', async () => {
    const alike = await prune(at('alike'), { rates: uncut, recipe });
    const folder = folderOf('no-base', { oneshot: join(small.runs, 'oneshot'), alike });
    expect(compared('oneshot', readAll(folder))).toEqual({
      run: 'alike',
      root: undefined,
      isEqual: true,
      epochs: 1,
      isFromStart: false,
    });
  });

  it('with the first dense model, where it was pruned in several runs', async () => {
    const second = await prune(
      at('second'),
      { rates: { ssm: 0.2, mlp: 0.2 }, recipe },
      join(small.runs, 'oneshot'),
    );
    const two = await prune(at('alike-2'), { rates: uncut, recipe: { ...recipe, epochs: 2 } });
    expect(compared('second', readAll(small.runs, second))).toMatchObject({
      run: 'runs/dense',
      isEqual: false,
      epochs: 2,
    });
    expect(compared('second', readAll(small.runs, second, two))).toMatchObject({
      run: 'alike-2',
      root: 'runs/dense',
      isEqual: true,
      epochs: 2,
    });
    // Trained on without a cut, a pruned model is no dense one.
    const on = await prune(at('cut-on'), { rates: uncut, recipe }, join(small.runs, 'oneshot'));
    const runs = readAll(small.runs, on);
    expect(runs.find(({ id }) => id === 'cut-on')).toMatchObject({
      method: 'oneshot',
      isDense: false,
    });
    expect(compared('cut-on', runs)).toMatchObject({ run: 'runs/dense', epochs: 2 });
  });

  it('with its source where it went back to the first weights and was trained as long', async () => {
    const rewound = (epochs: number) => ({
      rewind: 'init' as const,
      recipe: { ...recipe, epochs },
    });
    const [same, shorter] = [await prune(at('lottery'), rewound(3)), at('short')];
    await prune(shorter, rewound(2));
    const runs = readAll(small.runs, same, shorter);
    const shared = { run: 'runs/dense', isFromStart: true };
    expect(compared('lottery', runs)).toMatchObject({ ...shared, isEqual: true, epochs: 3 });
    expect(compared('short', runs)).toMatchObject({ ...shared, isEqual: false, epochs: 2 });
  });

  it('not with a model that has taken the place of the one it was pruned from', async () => {
    const place = at('replaced', 'base');
    mkdirSync(dirname(place), { recursive: true });
    cpSync(join(small.runs, 'dense'), place, { recursive: true });
    const pruned = await prune(at('replaced', 'cut'), { recipe }, place);
    expect(compared('cut', readAll(at('replaced')))).toMatchObject({ run: 'base' });
    rmSync(place, { recursive: true });
    const training = tinyTraining(small.images);
    const settings = { ...training, recipe: { ...training.recipe, seed: 99 } };
    (await trainRun(settings, { out: place })).model.dispose();
    expect(compared('cut', readAll(at('replaced')))).toMatchObject({ run: undefined });
    expect(pruned).toBe(at('replaced', 'cut'));
  });

  it('not at equal training while it runs', async () => {
    const alike = await prune(at('alike-again'), { rates: uncut, recipe });
    const half = folderOf('half-done', {
      dense: join(small.runs, 'dense'),
      oneshot: join(small.runs, 'oneshot'),
      alike,
    });
    expect(compared('oneshot', readAll(half))).toMatchObject({ run: 'alike', isEqual: true });
    const file = join(half, 'oneshot', 'pruning.json');
    writeFileSync(
      file,
      readFileSync(file, 'utf8').replace('"finished": true', '"finished": false'),
    );
    renameSync(modelOf(join(half, 'oneshot')), join(half, 'oneshot', 'old'));
    expect(compared('oneshot', readAll(half))).toMatchObject({ run: 'dense', isEqual: false });
  });
});
