import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { manualSeed, saveSafetensors } from '@mamba-prune/libtorch';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { runCli } from '../cli/testing/run-cli.js';
import { loadModel } from '../models/model-file.js';
import { createModel } from '../models/registry.js';
import { checkClassNames } from './class-names.js';
import { compare } from './compare/compare.js';
import { requestOfFolder } from './compare/request.js';
import { inProcess, smallRequest } from './compare/testing/small-comparison.js';
import { side, writeTinyImages } from './testing/tiny.js';

let folder = '';
const at = (...path: string[]): string => join(folder, ...path);

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'mamba-prune-class-names-'));
  vi.stubEnv('XDG_CACHE_HOME', at('cache'));
  await writeTinyImages(at('images'));
  manualSeed(2);
  const model = createModel('mamba_nano', { channels: 3, imageSize: side, numClasses: 2 });
  saveSafetensors(at('model.safetensors'), model.stateDict());
  model.dispose();
  // Whose shapes tell all of it.
  const both = createModel('mamba_nano', { imageSize: side, numClasses: 2, scan: 'bi' });
  mkdirSync(at('dense'));
  saveSafetensors(at('dense', 'model.safetensors'), both.stateDict());
  both.dispose();
  for (const path of ['config.json', join('dense', 'config.json')])
    writeFileSync(at(path), JSON.stringify({ id2label: { 0: 'links', 1: 'rechts' } }));
});

afterAll(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

describe('names of classes that a file beside a checkpoint has, and the images have others', () => {
  const common = () => [
    at('model.safetensors'),
    '--dataset',
    'folder',
    '--data',
    at('images'),
    '--scan',
    'uni',
  ];
  const commands: [string, () => string[]][] = [
    ['eval', () => []],
    ['sensitivity', () => ['--out', at('sensitivity.json')]],
    ['prune', () => ['--rate', '0.5', '--epochs', '0', '--out', at('run')]],
    ['export', () => ['--out', at('model.onnx')]],
  ];

  it.each(commands)('can be given to %s, which says so', async (command, more) => {
    const argv = [command, ...common(), '--threads', '1', ...more()];
    const { status, stderr } = await runCli(argv);
    expect(stderr).toContain(
      "the model does not fit folder: got class 0 'left', expected 'links'; class 1 'right', expected 'rechts'. If these are the " +
        'same classes in the same order with other names, give those of the data: --classes left,right. Otherwise use the ' +
        'data set that the model was trained on.',
    );
    expect(status).toBe(2);
  });

  it('are right once they were given', async () => {
    const argv = ['eval', ...common(), '--threads', '1', '--classes', 'left,right'];
    const { status, stderr } = await runCli(argv);
    expect(stderr).not.toContain('does not fit');
    expect(status).toBe(0);
  });
});

describe('names of classes that the given dense model of a comparison has, and the images have others', () => {
  const argv = (...more: string[]) => [
    'compare',
    '--dense',
    at('dense', 'model.safetensors'),
    '--dataset',
    'folder',
    '--data',
    at('images'),
    '--finetune-epochs',
    '2',
    '--out',
    at('compared'),
    ...more,
  ];

  it('are said to be what --classes is for', async () => {
    const { status, stderr } = await runCli(argv());
    expect(stderr.replaceAll(/\s+/g, ' ')).toContain(
      'with other names, give those of the data: --classes left,right. Otherwise',
    );
    expect(status).toBe(2);
    const { stderr: trained } = await runCli([
      'compare',
      '--dataset',
      'folder',
      '--data',
      at('images'),
      '--classes',
      'left,right',
      '--epochs',
      '1',
      '--out',
      at('compared'),
    ]);
    expect(trained.replaceAll(/\s+/g, ' ')).toContain(
      'got --classes without --dense, expected it with models of other programs',
    );
    expect(existsSync(at('compared'))).toBe(false);
  });

  it('are right once they were given, for every run, and for one that is gone on with', async () => {
    const { train, ...rest } = smallRequest(at('images'));
    const told = {
      ...rest,
      train: { ...train, model: {} },
      finetune: { ...rest.finetune, epochs: 2 },
      seeds: [0],
      methods: ['dense', 'oneshot'] as const,
      dense: [at('dense', 'model.safetensors')],
      classes: ['left', 'right'],
    };
    const control = { out: at('compared'), jobs: 1, start: inProcess() };
    const { finished, results } = await compare(told, control);
    expect(finished).toBe(true);
    expect(results.runs).toHaveLength(2);
    const pruned = loadModel(at('compared', 'seed-0', 'oneshot-50', 'model.safetensors'));
    expect(pruned.info.classes).toEqual(['left', 'right']);
    pruned.model.dispose();
    expect((await compare(requestOfFolder(at('compared'), {}), control)).finished).toBe(true);
    await expect(compare({ ...told, classes: undefined }, control)).rejects.toThrow(
      'does not fit folder',
    );
  });
});

describe('checkClassNames', () => {
  const check =
    (own: readonly string[], known: readonly string[], takesClasses = true) =>
    () => {
      checkClassNames({ name: 'folder', classes: own }, known, takesClasses);
    };
  const numbered = (prefix: string) => Array.from({ length: 12 }, (_, i) => `${prefix}${i}`);

  it('shows the first names that differ, and says how many others do', () => {
    expect(check(numbered('a'), numbered('b'))).toThrow(
      "got class 0 'a0', expected 'b0'; class 1 'a1', expected 'b1'; class 2 'a2', expected 'b2'; and 9 more.",
    );
    expect(check(numbered('a'), numbered('b'))).toThrow('`classes`, which takes a file');
    expect(check(['a b', 'c'], ['a_b', 'd'])).toThrow('`classes`, which takes a file');
  });

  it('advises no other names where a file describes itself', () => {
    expect(check(['a', 'b'], ['c', 'd'], false)).toThrow(
      /'d'\. Use the data set that the model was trained on\.$/,
    );
  });

  it('knows the same classes in another order', () => {
    expect(check(['b', 'A'], ['a', 'b'])).toThrow(/'b'\. These are the same classes in another/);
    expect(check(['b', 'A'], ['a', 'b'])).not.toThrow('`classes`');
    expect(check(['sea lion', 'B'], ['sea_lion', 'b'])).not.toThrow('another order');
  });

  it('lets a model pass that has no names', () => {
    expect(check(['a', 'b'], [])).not.toThrow();
  });
});
