// How many batches batch normalisation is measured over again, unless told.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { manualSeed } from '@mamba-prune/libtorch';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { registerDataset } from '../../data/datasets.js';
import { MemorySplit } from '../../data/memory-split.js';
import { loadModel, saveModel } from '../../models/model-file.js';
import { createModel } from '../../models/registry.js';
import { sensitivityRun } from '../sensitivity/run.js';
import { tinyPruning } from '../testing/tiny.js';
import { pruneRun } from './run.js';
import type { PruneSettings } from './settings.js';

const side = 8;
const folder = mkdtempSync(join(tmpdir(), 'mamba-prune-norm-'));
const at = (...path: string[]): string => join(folder, ...path);

/** Noise, brighter for one of two classes. */
const noise = (count: number): MemorySplit =>
  new MemorySplit(
    Uint8Array.from({ length: count * side * side }, (_, i) => {
      const image = Math.floor(i / side ** 2);
      return ((i * 7919 + image * 104_729) % 151) + 60 * (image % 2);
    }),
    Uint8Array.from({ length: count }, (_, i) => i % 2),
    side * side,
  );

beforeAll(() => {
  const info = {
    classes: ['a', 'b'],
    channels: 1 as const,
    height: side,
    width: side,
    mean: [0.5],
    std: [0.25],
  };
  for (const [name, images] of [
    ['many-norms', 300],
    ['few-norms', 40],
  ] as const) {
    const open = () => ({ info, train: noise(images), test: noise(20) });
    registerDataset({ name, description: 'noise', open });
  }
  manualSeed(1);
  const shape = { imageSize: side, channels: 1, numClasses: 2 };
  for (const [name, arch, options] of [
    ['resnet', 'resnet20', { ...shape, baseWidth: 4, blocks: [1, 1] }],
    ['mamba', 'mamba_nano', { ...shape, dModel: 8, depth: 1, dState: 2 }],
  ] as const) {
    const model = createModel(arch, options);
    saveModel(at(`${name}.safetensors`), model, {
      classes: info.classes,
      mean: [0.5],
      std: [0.25],
      history: [],
    });
    model.dispose();
  }
});

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

/** @returns batches that the run stored, and whether the statistics are others than those of the file */
async function prune(name: string, model: string, changes: Partial<PruneSettings>) {
  const file = at(`${model}.safetensors`);
  const rates = model === 'resnet' ? { channels: 0.5 } : { mlp: 0.5 };
  const settings = { ...tinyPruning(file, '', { rates, ...changes }), data: undefined };
  const run = await pruneRun(settings, { out: at(name) });
  const mean = (of: typeof run.model) => of.stateDict().get('bn1.running_mean')?.toNumbers();
  const before = loadModel(file).model;
  const isNew = JSON.stringify(mean(run.model)) !== JSON.stringify(mean(before));
  before.dispose();
  run.model.dispose();
  const stored = JSON.parse(readFileSync(at(name, 'config.json'), 'utf8')) as {
    settings: PruneSettings;
  };
  return { batches: stored.settings.bnBatches, isNew };
}

it.each<[string, string, Partial<PruneSettings>, { batches: number | undefined; isNew: boolean }]>([
  ['of a model that has it, all 16', 'resnet', {}, { batches: 16, isNew: true }],
  [
    'as many as there are',
    'resnet',
    { recipe: { epochs: 0, batchSize: 64 } },
    { batches: 5, isNew: true },
  ],
  ['of few images none', 'resnet', { dataset: 'few-norms' }, { batches: undefined, isNew: false }],
  ['where it is turned off none', 'resnet', { bnBatches: 0 }, { batches: 0, isNew: false }],
  ['of a model without none', 'mamba', {}, { batches: undefined, isNew: false }],
])('%s', async (name, model, changes, expected) => {
  const made = await prune(name, model, { dataset: 'many-norms', ...changes });
  expect(made).toEqual(expected);
});

it('says what few images leave as it was, and how it is measured all the same', async () => {
  const said = async (changes: Partial<PruneSettings>, out: string): Promise<string[]> => {
    const notes: string[] = [];
    const file = at('resnet.safetensors');
    const rates = { channels: 0.5 };
    const settings = { ...tinyPruning(file, '', { rates, ...changes }), data: undefined };
    const data = { onNote: (note: string) => notes.push(note) };
    const run = await pruneRun(settings, { out: at(out), data });
    run.model.dispose();
    return notes;
  };
  const recipe = { epochs: 0, batchSize: 16 };
  expect(await said({ dataset: 'few-norms', recipe }, 'few-said')).toContain(
    'batch normalisation keeps the statistics from before the cut: 40 training images are fewer than the 256 with which it ' +
      'is measured again by itself. The cut may look worse than it is. `bnBatches` 3 measures it with these images.',
  );
  for (const [name, changes] of Object.entries({
    'few-off': { dataset: 'few-norms', bnBatches: 0 },
    'few-typed': { dataset: 'few-norms', bnBatches: 1 },
    'many-said': { dataset: 'many-norms' },
  })) {
    expect((await said(changes, name)).join()).not.toContain('keeps the statistics');
  }
  const notes: string[] = [];
  await sensitivityRun(
    {
      model: at('resnet.safetensors'),
      dataset: 'few-norms',
      images: 8,
      rates: [0.5],
      by: 'kind',
      seed: 0,
    },
    { data: { onNote: (note) => notes.push(note) } },
  );
  expect(notes.join()).toContain('`bnBatches` 1 measures it with these images.');
});

it('keeps what a run began with', async () => {
  await prune('begun', 'resnet', { dataset: 'many-norms', bnBatches: 0, rounds: 1 });
  const settings = {
    ...tinyPruning(at('resnet.safetensors'), '', {
      rates: { channels: 0.5 },
      dataset: 'many-norms',
    }),
    data: undefined,
  };
  const run = await pruneRun(settings, { out: at('begun'), resume: true });
  run.model.dispose();
  const { settings: stored } = JSON.parse(readFileSync(at('begun', 'config.json'), 'utf8')) as {
    settings: PruneSettings;
  };
  expect(stored.bnBatches).toBe(0);
});

it('is the same of a measurement of sensitivity, which keeps what it began with', async () => {
  const settings = {
    model: at('resnet.safetensors'),
    dataset: 'many-norms',
    images: 20,
    rates: [0.5],
    importance: 'l2',
  } as const;
  const batches = async (changes: object, out: string, resume = false) =>
    (await sensitivityRun({ ...settings, ...changes }, { out: at(out), resume })).file.bnBatches;
  expect(await batches({}, 'usual.json')).toBe(8);
  expect(await batches({ dataset: 'few-norms' }, 'few.json')).toBeUndefined();
  expect(await batches({ model: at('mamba.safetensors') }, 'mamba.json')).toBeUndefined();
  expect(await batches({ bnBatches: 0 }, 'none.json')).toBeUndefined();
  expect(await batches({}, 'none.json', true)).toBeUndefined();
});
