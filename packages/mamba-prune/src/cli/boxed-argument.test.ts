// models:NAME as a MODEL, in the command line and the library, against a package of the test's own. That every command
// takes it is checked in model-files.test.ts.
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { manualSeed } from '@mamba-prune/libtorch';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { boxedModelFile, boxedModels, boxedModelsIfAny, boxedNameOf } from '../boxed-models.js';
import { loadModel } from '../models/model-file.js';
import { createModel } from '../models/registry.js';
import { openModelFile } from '../workflows/open-model-file.js';
import { impRun } from '../workflows/imp.js';
import { pruneRun } from '../workflows/prune/run.js';
import { tinyPruning, tinyTraining, writeTinyImages } from '../workflows/testing/tiny.js';
import { trainRun } from '../workflows/train-run.js';
import { visible } from './terminal/text.js';
import { writeBoxedModels } from './testing/boxed-models.js';
import { runCli } from './testing/run-cli.js';

const folder = mkdtempSync(join(tmpdir(), 'mp-boxed-'));
const at = (...names: string[]): string => join(folder, ...names);
const pruned = 'models:cifar100/mamba_nano-70';
const dense = 'models:cifar10/mamba_nano';
const inBox = (name: string): string =>
  at('box', 'files', `${name.slice('models:'.length)}.safetensors`);

beforeAll(async () => {
  await writeTinyImages(at('images'));
  manualSeed(1);
  const sizes = { dModel: 8, depth: 1, dState: 2, channels: 1, imageSize: 8, numClasses: 2 };
  const info = { classes: ['left', 'right'], mean: [0.5], std: [0.5], history: [] };
  const pruning = { method: 'refill', rates: { ssm: 0.7, mlp: 0.7 } };
  writeBoxedModels(at('box'), [
    {
      name: 'cifar10/mamba_nano',
      model: createModel('mamba_nano', sizes),
      info: { ...info, dataset: 'cifar10' },
    },
    { name: 'cifar100/mamba_nano-70', model: createModel('mamba_nano', sizes), info, pruning },
  ]);
});
beforeEach(() => {
  vi.stubEnv('MAMBA_PRUNE_MODELS', at('box'));
});
afterEach(() => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
});
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

describe('models:NAME', () => {
  it('is the file of the package, under its name in tables and titles', async () => {
    const { status, stdout } = await runCli(['inspect', pruned, '--json']);
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ path: inBox(pruned), arch: 'mamba_nano' });
    const shown = await runCli(['inspect', pruned]);
    expect(shown.stdout.split('\n')[0]).toBe(pruned);
    const bench = ['bench', dense, pruned, '--batch', '1', '--runs', '1', '--min-time', '0'];
    const { models } = JSON.parse((await runCli([...bench, '--json'])).stdout) as {
      models: { name: string }[];
    };
    expect(models.map(({ name }) => name)).toEqual([
      'cifar10/mamba_nano',
      'cifar100/mamba_nano-70',
    ]);
    // The table may have no room for both; below it stands what was typed, and no path of the package.
    const printed = await runCli(bench);
    expect(printed.stdout.trimEnd().split('\n').slice(-2)).toEqual([
      expect.stringMatching(new RegExp(`^ .*B +${dense}$`)),
      expect.stringMatching(new RegExp(`^ .*B +${pruned}$`)),
    ]);
  });

  it('has 16 bits in the file and is computed with in float32, which inspect says', async () => {
    const { stdout, stderr } = await runCli(['inspect', pruned]);
    expect(stderr.replaceAll(/\s+/g, ' ')).toMatch(
      /The file has .* weights in bfloat16 and .* in float32\. They were read as float32, in which the model computes\./,
    );
    expect(stdout).not.toContain('bfloat16');
    const { stored } = JSON.parse((await runCli(['inspect', pruned, '--json'])).stdout) as {
      stored: Record<string, number>;
    };
    expect(Object.keys(stored).sort()).toEqual(['bfloat16', 'float32']);
  });

  it.each(['inspect', 'eval', 'export', 'prune'])(
    'that there is not is wrong usage, with those that there are: %s',
    async (command) => {
      const out = ['export', 'prune'].includes(command) ? ['--out', at('never.safetensors')] : [];
      const { status, stderr } = await runCli([command, 'models:cifar10/mamba_nan', ...out]);
      expect(status).toBe(2);
      expect(stderr.replaceAll(/\s+/g, ' ')).toContain(
        "got 'models:cifar10/mamba_nan', which is no model of @mamba-prune/models, expected one of these, whose accuracy " +
          `stands behind them: ${dense} (75.00%), ${pruned} (75.00%).`,
      );
    },
  );

  it('does not lead out of the package', () => {
    for (const name of [
      'models:../../x',
      'models:',
      'models:cifar10',
      'models:cifar10/../cifar10/mamba_nano',
    ]) {
      expect(() => boxedModelFile(name)).toThrow('is no model of @mamba-prune/models');
    }
    expect(boxedNameOf(at('box', 'index.json'))).toBeUndefined();
    expect(boxedNameOf(at('other.safetensors'))).toBeUndefined();
    expect(boxedNameOf(inBox(dense))).toBe('cifar10/mamba_nano');
  });

  it('says that the folder named in place of the package is not there', async () => {
    vi.stubEnv('MAMBA_PRUNE_MODELS', at('nowhere'));
    const sentence = `MAMBA_PRUNE_MODELS: got '${at('nowhere')}', which is not there, expected a folder with an index.json`;
    for (const command of [['inspect', dense], ['models']]) {
      const { status, stderr } = await runCli(command);
      expect(status).toBe(1);
      expect(stderr.replaceAll(/\s+/g, ' ')).toContain(sentence);
    }
    expect(() => loadModel(dense)).toThrow(sentence);
    expect(boxedModelsIfAny()).toEqual([]);
  });

  it('is looked for from the current folder too, as npm installs it there', () => {
    vi.stubEnv('MAMBA_PRUNE_MODELS', '');
    // The own workspace comes first.
    expect(boxedNameOf(inBox(dense))).toBeUndefined();
    expect(boxedModels()).toEqual(boxedModelsIfAny());
  });

  it.each([
    ['no JSON', '{', /index\.json cannot be read: /],
    [
      'of another version',
      '{"format": 2, "models": []}',
      /is no index of trained models that this version reads/,
    ],
  ])('of a package whose index is %s', (_name, text, message) => {
    mkdirSync(at('broken'), { recursive: true });
    writeFileSync(at('broken', 'index.json'), text);
    vi.stubEnv('MAMBA_PRUNE_MODELS', at('broken'));
    expect(() => boxedModels()).toThrow(message);
  });

  it('of a package that lacks the file', () => {
    mkdirSync(at('lacking'), { recursive: true });
    writeFileSync(at('lacking', 'index.json'), readFileSync(at('box', 'index.json')));
    vi.stubEnv('MAMBA_PRUNE_MODELS', at('lacking'));
    expect(() => loadModel(dense)).toThrow(
      /is not there, though the index .* Install the package anew: npm install/,
    );
  });
});

describe('mamba-prune models', () => {
  it('lists name, data, accuracy, parameters, MACs and size within 80 columns', async () => {
    const { status, stdout } = await runCli(['models']);
    expect(status).toBe(0);
    const [head = '', ...rows] = stdout.split('\n\n', 1)[0]?.split('\n') ?? [];
    expect(head).toMatch(/^ {2}name +data +accuracy +parameters +MACs +file$/);
    expect(rows.at(-1)).toMatch(
      /^ {2}cifar100\/mamba_nano-70 +cifar100 +75\.00% +[\d.]+ K +[\d.]+ K +[\d.]+ KiB$/,
    );
    expect(stdout.replaceAll(/\s+/g, ' ')).toContain(`takes these as models:NAME: ${dense} `);
    expect(Math.max(...stdout.split('\n').map(visible))).toBeLessThanOrEqual(80);
  });

  it('gives programs all of the index, with what is typed for each', async () => {
    const { stdout } = await runCli(['models', '--json']);
    const { models } = JSON.parse(stdout) as { models: object[] };
    expect(models).toEqual(
      boxedModels().map((model) => ({ model: `models:${model.name}`, ...model })),
    );
    expect(models[1]).toMatchObject({
      model: pruned,
      pruning: { method: 'refill', rates: { ssm: 0.7 } },
    });
  });
});

describe('the library', () => {
  it('reads a model by name', async () => {
    const { model } = loadModel(dense);
    const opened = await openModelFile(dense);
    expect(opened.model.numParameters()).toBe(model.numParameters());
    expect(opened.isOurs).toBe(true);
    model.dispose();
    opened.model.dispose();
  });

  it('trains and prunes from a name as from its file', async () => {
    const training = { ...tinyTraining(at('images')), keepEpochs: [], init: dense };
    // Of one channel, which folders have none of.
    await expect(trainRun({ ...training, model: {} }, { out: at('trained') })).rejects.toThrow(
      `${inBox(dense)}: got weights for images with 1 channels`,
    );
    const alone = tinyPruning(dense, '', { dataset: undefined, data: undefined });
    const byName = await pruneRun(alone, { out: at('by-name') });
    const byFile = await pruneRun({ ...alone, model: inBox(dense) }, { out: at('by-file') });
    expect(byName.record).toEqual(byFile.record);
    expect(byName.record.source).toBe(inBox(dense));
    const plan = { arch: 'mamba_nano', model: {}, prune: alone };
    const iterated = await impRun(plan, { out: at('imp') });
    expect(iterated.pruned?.record.widthsAfter).toEqual(byFile.record.widthsAfter);
    for (const { model } of [byName, byFile]) model.dispose();
    iterated.pruned?.model.dispose();
    expect(existsSync(at('imp', 'model.safetensors'))).toBe(true);
  });
});

describe('imp --mamba_pretrained without a model', () => {
  const imp = [
    'imp',
    '--mamba_structured',
    '--mamba_pretrained',
    '--exp_name',
    'x',
    '--print_plan',
  ];

  it('takes the dense one of the architecture and the data', async () => {
    const { status, stdout, stderr } = await runCli([
      ...imp,
      '--arch',
      'mamba_nano',
      '--dataset',
      'cifar10',
    ]);
    expect(status, stderr).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ prune: { model: inBox(dense) } });
    expect(stderr.replaceAll(/\s+/g, ' ')).toContain(
      `The dense model is ${dense}, which is of this architecture and data.`,
    );
  });

  it.each([
    ['mamba_nano', 'cifar100'],
    ['mamba_small', 'cifar10'],
  ])('says that there is none of %s for %s', async (arch, data) => {
    const { status, stderr } = await runCli([...imp, '--arch', arch, '--dataset', data]);
    expect(status).toBe(2);
    expect(stderr.replaceAll(/\s+/g, ' ')).toContain(
      `there is no trained ${arch} for ${data} (the dense models of @mamba-prune/models are ${dense})`,
    );
  });

  it.each([
    ['that none are installed', 'nowhere', 'is not installed'],
    ['that only pruned ones are there', 'pruned', 'has no dense models, only pruned ones'],
  ])('says %s', async (_name, box, words) => {
    const { models } = JSON.parse(readFileSync(at('box', 'index.json'), 'utf8')) as {
      models: { name: string }[];
    };
    const only = models.filter(({ name }) => `models:${name}` === pruned);
    mkdirSync(at('pruned'), { recursive: true });
    writeFileSync(at('pruned', 'index.json'), JSON.stringify({ format: 1, models: only }));
    vi.stubEnv('MAMBA_PRUNE_MODELS', at(box));
    const { status, stderr } = await runCli([
      ...imp,
      '--arch',
      'mamba_nano',
      '--dataset',
      'cifar10',
    ]);
    expect(status).toBe(2);
    expect(stderr.replaceAll(/\s+/g, ' ')).toContain(`(@mamba-prune/models ${words})`);
  });
});
