import { rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { UsageError } from '../errors.js';
import { loadPlugin } from '../plugins.js';
import { defaultPreprocessing, type Preprocessing } from '../preparation/preprocessing.js';
import { presetModelOptions, presetRecipe } from '../training/presets.js';
import { ownImages } from './datasets/recipes.js';
import {
  datasetModule,
  datasetNames,
  downloadDataset,
  isAtHand,
  openDataset,
  registerDataset,
  verifyDataset,
} from './datasets.js';
import type { DatasetDefinition } from './definition.js';
import { DataError } from './errors.js';
import { MemorySplit } from './memory-split.js';
import type { DatasetInfo, ImageSplit, OpenedDataset } from './types.js';

const info: Omit<DatasetInfo, 'name'> = {
  classes: ['a', 'b'],
  channels: 1,
  height: 2,
  width: 2,
  mean: [0.5],
  std: [0.25],
};
/** Image i has the pixels 4 i to 4 i + 3. */
const four = (): MemorySplit =>
  new MemorySplit(
    Uint8Array.from({ length: 16 }, (_, i) => i),
    [0, 1, 1, 0],
    4,
  );
const opened = (changes: Partial<OpenedDataset> = {}): OpenedDataset => ({
  info,
  train: four(),
  test: four(),
  ...changes,
});

let made = 0;
/** Registers a data set under a name of its own. */
function register(changes: Partial<DatasetDefinition> = {}): string {
  const name = `made-${made++}`;
  registerDataset({ name, description: 'four images', open: () => opened(), ...changes });
  return changes.name ?? name;
}

describe('registerDataset', () => {
  it('adds a name after those that there are', () => {
    const before = datasetNames();
    const name = register();
    expect(datasetNames()).toEqual([...before, name]);
  });

  it('takes the same definition again, as of a module that is imported twice, and no other of its name', () => {
    const definition = { name: 'twice', description: 'four images', open: () => opened() };
    registerDataset(definition);
    registerDataset(definition);
    expect(datasetNames().filter((name) => name === 'twice')).toHaveLength(1);
    for (const name of ['twice', 'cifar10', 'folder']) {
      expect(() => {
        registerDataset({ ...definition, name });
      }).toThrow(
        `registerDataset: got the name "${name}", which another data set has. Choose another name.`,
      );
    }
  });

  it.each(['', 'Mine', 'my images', '-mine', 'a--b', '../a', 'a/b', 'ü', 'mine.'])(
    'refuses the name %j, which a flag or a file could not hold',
    (name) => {
      expect(() => register({ name })).toThrow(
        `registerDataset: got the name ${JSON.stringify(name)}, expected small letters and digits, with single -, _ or . ` +
          'between them, such as my-images.',
      );
      expect(datasetNames()).not.toContain(name);
    },
  );

  const recipe = { ...ownImages };
  it.each<[what: string, changes: object, message: string]>([
    ['nothing', { open: undefined }, 'registerDataset: got options without `open`, expected it'],
    ['a misspelt option', { opens: () => opened() }, 'registerDataset: got the option `opens`'],
    ['an option of another type', { open: 'file' }, 'registerDataset: open: got the string'],
    ['a crop of nothing', { cropShare: 0 }, 'cropShare: got 0, expected a number from 0.01 to 1.'],
    [
      'a download without a function',
      { download: { from: 'x' } },
      'download: got options without `get`',
    ],
    [
      'half a recipe',
      { recipe: { lr: 1 } },
      'recipe: got options without `batchSize`, `epochs`, `augment`',
    ],
    [
      'no batch',
      { recipe: { ...recipe, batchSize: 0 } },
      'recipe: batchSize: got 0, expected an integer from 1.',
    ],
    [
      'no rate',
      { recipe: { ...recipe, lr: NaN } },
      'recipe: lr: got NaN, expected a number above 0.',
    ],
    [
      'a phase without epochs',
      { recipe: { ...recipe, epochs: { train: recipe.epochs.train } } },
      'recipe: epochs.finetune.fast: got undefined, expected an integer from 1.',
    ],
    [
      'an augmentation that there is not',
      { recipe: { ...recipe, augment: { ...recipe.augment, best: 'most' } } },
      'recipe: augment.best: got most, expected one of none, standard, strong, imagenet, imagenet-strong.',
    ],
  ])('refuses %s', (_what, changes, message) => {
    const before = datasetNames();
    expect(() => register(changes)).toThrow(UsageError);
    expect(() => register(changes)).toThrow(message);
    expect(datasetNames()).toEqual(before);
  });

  it("gives the presets its recipe, or that of images of one's own", () => {
    const hints = { mamba: { scan: 'bi' } } as const;
    const own = register({ recipe: { ...ownImages, batchSize: 7, models: hints } });
    expect(presetRecipe('best', own, 'train')).toEqual({
      ...presetRecipe('best', 'folder', 'train'),
      batchSize: 7,
    });
    expect(presetModelOptions('best', own, 'mamba_tiny')).toEqual({ scan: 'bi' });
    expect(presetModelOptions('best', own, 'resnet20')).toEqual({});
    const plain = register();
    expect(presetRecipe('fast', plain, 'finetune')).toEqual(
      presetRecipe('fast', 'folder', 'finetune'),
    );
  });

  it('sets how much a crop leaves of its images', () => {
    expect(defaultPreprocessing(register()).cropShare).toBe(1);
    expect(defaultPreprocessing(register({ anySize: true })).cropShare).toBe(0.875);
    expect(defaultPreprocessing(register({ anySize: true, cropShare: 0.9 })).cropShare).toBe(0.9);
  });

  it('keeps the module that it says, else the one that is being imported', async () => {
    const said = register({ module: '/here/said.mjs' });
    expect(datasetModule(said)).toBe('/here/said.mjs');
    const plugin = join(tmpdir(), `plugin-${process.pid}.mjs`);
    const global = globalThis as { registerHere?: () => void };
    const names: string[] = [];
    global.registerHere = () => names.push(register());
    writeFileSync(plugin, 'globalThis.registerHere();');
    await loadPlugin(plugin);
    rmSync(plugin);
    expect(datasetModule(names[0] ?? '')).toBe(plugin);
    expect(datasetModule(register({ module: 'file:///here/a%20b.mjs' }))).toBe('/here/a b.mjs');
    expect(datasetModule(register())).toBeUndefined();
    expect(datasetModule('cifar10')).toBeUndefined();
  });

  it('is at hand where it says so', async () => {
    const isHere = ({ dir }: { dir?: string }): boolean => dir !== undefined;
    const name = register({ isAtHand: isHere });
    expect(await isAtHand(name, tmpdir())).toBe(true);
    expect(await isAtHand(name, undefined)).toBe(false);
    expect(await isAtHand(register(), tmpdir())).toBe(false);
    expect(await isAtHand('mnist', tmpdir())).toBe(false);
    expect(await isAtHand(undefined, undefined)).toBe(false);
  });

  it('brings downloads of its own', async () => {
    const get = (dir: string): Promise<string> => Promise.resolve(`${dir}/x`);
    const name = register({ download: { from: 'a friend', get } });
    expect(await downloadDataset(name, 'there')).toBe('there/x');
    expect(await downloadDataset(name)).toBe('data/x');
    const getToCache = (): Promise<string> => Promise.resolve('cache/x');
    const cached = register({ download: { from: 'a friend', get, getToCache } });
    expect(await downloadDataset(cached)).toBe('cache/x');
    await expect(downloadDataset(register())).rejects.toThrow(
      `expected one of: fashion-mnist, cifar10, cifar100, ${name}, ${cached}.`,
    );
  });
});

describe('a registered data set that is opened', () => {
  const open = (changes: Partial<OpenedDataset>) =>
    openDataset(register({ open: () => opened(changes) }));
  /** A split that returns what is given. */
  const reading = (pixels: unknown): ImageSplit => ({
    length: 4,
    label: () => 0,
    read: () => pixels as Uint8Array,
  });

  it('has its name, the folder that was given and the preparation that models record', async () => {
    const name = register();
    const dataset = await openDataset(name, { dir: '.' });
    expect(dataset.info).toEqual({
      ...info,
      name,
      dir: resolve('.'),
      preprocessing: { interpolation: 'bilinear', cropShare: 1 },
    });
    const own = { ...info, dir: tmpdir(), note: 'half of it' };
    const kept = await openDataset(register({ open: () => opened({ info: own }) }), { dir: '.' });
    expect(kept.info).toMatchObject({ dir: tmpdir(), note: 'half of it' });
  });

  it.each<[what: string, changes: object, message: string]>([
    [
      'no part to test with',
      { test: undefined },
      'test: got undefined images, expected 1 or more.',
    ],
    ['an empty part', { train: { ...reading(0), length: 0 } }, 'train: got 0 images'],
    [
      'a part without labels',
      { test: { length: 4, read: () => 0 } },
      "test: got no function 'label'",
    ],
    ['no facts', { info: undefined }, 'got no info, expected an object { info, train, test }.'],
    ['another name', { info: { ...info, name: 'x' } }, 'info.name: got "x", expected "made-'],
    [
      'no classes',
      { info: { ...info, classes: [] } },
      'info.classes: got [], expected the name of',
    ],
    ['two channels', { info: { ...info, channels: 2 } }, 'info.channels: got 2, expected 1 or 3.'],
    [
      'half a pixel',
      { info: { ...info, width: 0.5 } },
      'info.width: got 0.5, expected an integer from 1.',
    ],
    [
      'one mean too many',
      { info: { ...info, mean: [1, 2] } },
      'info.mean: got [1,2], expected a number for each of 1 channels.',
    ],
    [
      'a deviation of zero, which would divide by it',
      { info: { ...info, std: [0] } },
      'info.std: got [0], expected a positive number for each of 1 channels.',
    ],
  ])('is refused with %s', async (_what, changes, message) => {
    await expect(open(changes)).rejects.toThrow(DataError);
    await expect(open(changes)).rejects.toThrow(message);
  });

  it('may name 300 classes, whose labels take more than a byte', async () => {
    const classes = Array.from({ length: 300 }, (_, i) => `class ${i}`);
    const split = new MemorySplit(new Uint8Array(8), [299, 0], 4);
    const { train } = await open({ info: { ...info, classes }, train: split });
    expect(train.label(0)).toBe(299);
  });

  it('is stopped at a label that no class has, and at pixels of another size', async () => {
    const wrong = await open({ train: new MemorySplit(new Uint8Array(8), [0, 2], 4) });
    expect(wrong.train.label(0)).toBe(0);
    expect(() => wrong.train.label(1)).toThrow(
      /^openDataset "made-\d+": train: got label 2 of image 1, expected an integer from 0 to 1\.$/,
    );
    const { train, test } = await open({
      train: reading(new Uint8Array(7)),
      test: reading(Promise.resolve([1, 2, 3, 4])),
    });
    expect(() => train.read([0, 1])).toThrow(
      /train: got 7 bytes of pixels, expected 8 bytes, \[2, 1, 2, 2\]\. Give them in a new array/,
    );
    await expect(test.read([0])).rejects.toThrow(/test: got no Uint8Array \(object\) of pixels/);
  });

  it('keeps what it gives only a view of: a batch changes its pixels and moves them', async () => {
    const all = Uint8Array.from({ length: 16 }, (_, i) => i);
    const { train } = await open({ train: { ...reading(0), read: () => all.subarray(4, 12) } });
    const pixels = await train.read([1, 2]);
    structuredClone(pixels.fill(0), { transfer: [pixels.buffer as ArrayBuffer] });
    expect([...all]).toEqual(Array.from({ length: 16 }, (_, i) => i));
    const shared = new Uint8Array(new SharedArrayBuffer(4));
    const { test } = await open({ test: reading(shared) });
    const own = await test.read([0]);
    expect(own.buffer).toBeInstanceOf(ArrayBuffer);
    const fresh = Uint8Array.of(1, 2, 3, 4);
    expect(await (await open({ train: reading(fresh) })).train.read([0])).toBe(fresh);
  });

  it('has crops taken while decoding, and another preparation, if it brings them', async () => {
    expect((await open({})).train).not.toHaveProperty('readCropped');
    const crop = { seed: 1, epoch: 0, scale: [1, 1], ratio: [1, 1] } as const;
    const readCropped = (): Promise<Uint8Array> => Promise.resolve(Uint8Array.of(9, 9, 9));
    const { train } = await open({ train: { ...reading(0), readCropped } });
    await expect(train.readCropped?.([0], crop)).rejects.toThrow(
      'got 3 bytes of pixels, expected 4',
    );

    const prepared = ({ cropShare }: Preprocessing): OpenedDataset =>
      opened({ train: reading(new Uint8Array(4).fill(100 * cropShare)) });
    const dataset = await open({ prepared });
    const way = { interpolation: 'bilinear', cropShare: 0.5 } as const;
    expect([...((await dataset.prepared?.(way).train.read([0])) ?? [])]).toEqual([50, 50, 50, 50]);
  });

  it('of images of any size records how they were asked for, and can prepare them anew', async () => {
    const anySize = true;
    const sized = register({ anySize, open: () => opened({ prepared: () => opened() }) });
    const ways = [{}, { interpolation: 'bicubic' }, { cropShare: 0.5 }] as const;
    for (const way of ways) {
      const { preprocessing } = (await openDataset(sized, way)).info;
      expect(preprocessing).toEqual({ interpolation: 'bilinear', cropShare: 0.875, ...way });
    }
    const fixed = await openDataset(register(), { cropShare: 0.5 });
    expect(fixed.info.preprocessing?.cropShare).toBe(1);
    await expect(openDataset(register({ anySize }))).rejects.toThrow(
      "got no function 'prepared', expected one: images of any size are prepared as the model records",
    );
  });

  it('is verified by its own check, or image by image', async () => {
    const test: ImageSplit = {
      length: 130,
      label: (index) => (index === 100 ? 5 : index % 2),
      read: (indices) => {
        if (Array.from(indices).includes(3)) throw new Error('image 3 is torn');
        return new Uint8Array(4 * indices.length);
      },
    };
    const name = register({ open: () => opened({ test }) });
    const report = await verifyDataset(name);
    expect(report).toMatchObject({ name, ok: false, dir: undefined, notes: [] });
    expect(report.counts.train).toEqual([2, 2]);
    expect(report.problems).toEqual([
      'test: images 0 to 63: image 3 is torn',
      `test: images 64 to 127: openDataset "${name}": test: got label 5 of image 100, expected an integer from 0 to 1.`,
    ]);
    const own = { ...report, ok: true, problems: [] };
    expect(await verifyDataset(register({ verify: () => own }))).toBe(own);
  });
});
