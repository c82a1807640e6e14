import { mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { runCli } from '../cli/testing/run-cli.js';
import type { DatasetInfo } from '../data/types.js';
import { buildOnnxModel } from '../export/build-model.js';
import { loadModel } from '../models/model-file.js';
import { toyDataset } from '../training/testing/toy.js';
import { checkFits, dataFor, modelInfoOf, trainedOn, withModelInfo } from './fit.js';
import { writeTinyImages } from './testing/tiny.js';

let folder = '';
const at = (...path: string[]): string => join(folder, ...path);

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'mamba-prune-fit-'));
  vi.stubEnv('XDG_CACHE_HOME', at('cache'));
  await writeTinyImages(at('images'));
});
afterAll(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

describe('dataFor', () => {
  const info = { dataset: 'folder', data: tmpdir() };

  it('takes what is asked for, else what the model remembers', () => {
    expect(dataFor(info, {})).toEqual({ dataset: 'folder', data: tmpdir() });
    expect(dataFor(info, { dataset: 'folder' })).toEqual({ dataset: 'folder', data: tmpdir() });
    expect(dataFor(info, { data: 'here' })).toEqual({ dataset: 'folder', data: 'here' });
    expect(dataFor(info, { dataset: 'cifar10' })).toEqual({ dataset: 'cifar10' });
    expect(dataFor({ dataset: 'fashion-mnist' }, {})).toEqual({ dataset: 'fashion-mnist' });
    expect(dataFor({}, { data: 'here' })).toBeUndefined();
  });

  it('says where the images were when they are gone', () => {
    expect(() => dataFor({ ...info, data: '/no/where' }, {})).toThrow(
      'the images of folder that the model was trained on were in /no/where, which is not there. ' +
        'Give their folder (`data`).',
    );
  });
});

describe('trainedOn', () => {
  const dataset = toyDataset();
  const { name, classes } = dataset.info;
  const preprocessing = { interpolation: 'bicubic', cropShare: 0.875 } as const;
  const assumed = ['heads 3', 'mean 0.5', 'std 0.5', 'interpolation bilinear', 'cropShare 0.875'];
  const imported = {
    classes: [],
    mean: [0.5],
    std: [0.25],
    preprocessing,
    history: [
      { step: 'import', assumed },
      { step: 'prune', assumed: 1 },
    ],
  };

  it('names data and classes of a model that said nothing of them, and keeps its mean and deviation', () => {
    const info = trainedOn(dataset, imported);
    expect(info).toMatchObject({ dataset: name, classes, mean: [0.5], std: [0.25] });
    // The images of this training were taken as they are.
    expect(info.preprocessing).toBeUndefined();
    const folder = { ...dataset, info: { ...dataset.info, preprocessing, dir: '/images' } };
    expect(trainedOn(folder, imported)).toMatchObject({ preprocessing, data: '/images' });
    expect(info.history).toEqual([
      { step: 'import', assumed: ['heads 3'] },
      { step: 'prune', assumed: 1 },
    ]);
    const own = classes.map((each) => each.toUpperCase());
    expect(trainedOn(dataset, { ...imported, classes: own }).classes).toEqual(own);
  });

  it('changes nothing of a model that says what it was trained on, or without images', () => {
    const told = { ...imported, dataset: 'mine' };
    expect(trainedOn(dataset, told)).toBe(told);
    expect(trainedOn(undefined, imported)).toBe(imported);
  });
});

describe('withModelInfo', () => {
  const dataset = toyDataset();
  const named = (...classes: string[]) => ({ ...dataset, info: { ...dataset.info, classes } });
  const info = modelInfoOf(dataset.info, []);

  it('takes two spellings of an accent for one', () => {
    const model = { ...info, classes: ['cafe\u0301', 'b'] };
    expect(withModelInfo(named('caf\u00e9', 'b'), model).info.classes).toEqual(['caf\u00e9', 'b']);
    expect(() => withModelInfo(named('cafe', 'b'), model)).toThrow("got class 0 'cafe'");
  });

  it('does not test on training images of the other division of Fashion-MNIST', () => {
    const of = (mean: number): typeof dataset => {
      const fashion: DatasetInfo = { ...dataset.info, name: 'fashion-mnist', mean: [mean] };
      return { ...dataset, info: fashion };
    };
    const model = modelInfoOf(of(0.28604).info, []);
    expect(withModelInfo(of(0.28604), model).info.mean).toEqual([0.28604]);
    expect(() => withModelInfo(of(0.28607), model)).toThrow(
      /trained on another division of fashion-mnist .*\(the mean of its training images is 0.28604, here it is 0.28607\)/,
    );
    // A model that was given another normalisation.
    expect(withModelInfo(of(0.28607), { ...model, mean: [0.5] }).info.mean).toEqual([0.5]);
  });
});

describe('a model that does not fit its data', () => {
  const { info } = toyDataset();
  const fitting = {
    channels: info.channels,
    imageSize: info.height,
    numClasses: info.classes.length,
  };

  it('is told how to say the size of its images, and how to have other classes', () => {
    expect(() => {
      checkFits({ ...fitting, imageSize: 224 }, info);
    }).toThrow(
      `expected 224x224. Use the data set that the model was trained on. Where the size of its images was assumed, \`imageSize\` ${info.width} says the right one.`,
    );
    // No other size fits its positions.
    for (const family of ['vit', 'vim', 'mamba']) {
      expect(() => {
        checkFits({ ...fitting, imageSize: 224, family }, info);
      }, family).toThrow(
        `trained on. Positions of a file of another program are resampled with \`imageSize\` ${info.width} and \`resamplePositions\`.`,
      );
    }
    expect(() => {
      checkFits({ ...fitting, imageSize: 224, family: 'resnet' }, info);
    }).toThrow(/`imageSize` \d+ says the right one/);
    expect(() => {
      checkFits({ ...fitting, numClasses: 1000 }, info);
    }).toThrow(
      `expected 1000. Use the data set that the model was trained on. For other classes train it first: \`train.from\` gives it a classifier for ${info.classes.length}.`,
    );
    expect(() => {
      checkFits({ ...fitting, channels: 9 }, info);
    }).toThrow(/expected 9\. Use the data set that the model was trained on\.$/);
  });
});

describe('a model', () => {
  it('remembers the folder of its images, so that eval and prune find them', async () => {
    const run = async (...argv: string[]) => runCli([...argv, '--threads', '1', '--device', 'cpu']);
    const trained = await run(
      'train',
      '--arch',
      'mamba_nano',
      '--d-model',
      '8',
      '--depth',
      '1',
      '--d-state',
      '2',
      '--image-size',
      '8',
      '--dataset',
      'folder',
      '--data',
      at('images'),
      '--epochs',
      '1',
      '--batch-size',
      '8',
      '--out',
      at('run'),
    );
    expect(trained.status).toBe(0);
    const { model, info } = loadModel(at('run', 'model.safetensors'));
    expect(info).toMatchObject({ dataset: 'folder', data: at('images') });
    // What is handed on tells nothing of the machine.
    const { metadata_props: props } = buildOnnxModel(model, info);
    expect(JSON.stringify(props)).toContain('folder');
    expect(JSON.stringify(props)).not.toContain(folder);
    model.dispose();

    const evaluated = await run('eval', at('run'), '--json');
    expect(evaluated.status).toBe(0);
    expect(JSON.parse(evaluated.stdout)).toMatchObject({ dataset: 'folder', images: 16 });

    const pruned = await run(
      'prune',
      at('run'),
      '--rate',
      '0.5',
      '--epochs',
      '1',
      '--batch-size',
      '8',
      '--out',
      at('cut'),
    );
    expect([pruned.status, pruned.stderr]).toEqual([0, expect.any(String)]);
    expect((await run('eval', at('cut'))).status).toBe(0);

    // Where they were moved to is remembered from then on.
    symlinkSync(at('images'), at('moved'));
    const moved = await run(
      'prune',
      at('run'),
      '--rate',
      '0.5',
      '--data',
      at('moved'),
      '--out',
      at('cut2'),
    );
    expect(moved.status).toBe(0);
    expect(loadModel(at('cut2', 'model.safetensors')).info.data).toBe(at('moved'));
    rmSync(at('moved'));
    const gone = await run('eval', at('cut2'));
    expect(gone.status).toBe(2);
    expect(gone.stderr.replaceAll(/\s+/g, ' ')).toContain(
      `the images of folder that the model was trained on were in ${at('moved')}, which is not there. Give their folder (--data).`,
    );
  });
});
