// A file with two classifiers: every command that reads models is told which one by the same flag, and refuses it where there is no choice.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { manualSeed, randn, saveSafetensors } from '@mamba-prune/libtorch';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { loadModel } from '../models/model-file.js';
import { createModel } from '../models/registry.js';
import { writeTinyImages } from '../workflows/testing/tiny.js';
import { runCli } from './testing/run-cli.js';

const folder = mkdtempSync(join(tmpdir(), 'mp-classifier-flag-'));
const at = (...path: string[]): string => join(folder, ...path);
const file = at('two.safetensors');
const words = (text: string): string[] => text.split(' ');
const flat = (text: string): string => text.replaceAll(/\s+/g, ' ');

beforeAll(async () => {
  vi.stubEnv('XDG_CACHE_HOME', at('cache'));
  await writeTinyImages(at('images'));
  manualSeed(1);
  const sizes = { dModel: 12, depth: 1, heads: 3, imageSize: 8, patchSize: 4, numClasses: 2 };
  const model = createModel('vit_tiny', sizes);
  const backbone = [...model.stateDict()].filter(([name]) => !name.startsWith('head.'));
  const tensors = new Map(backbone.map(([name, tensor]) => [`backbone.${name}`, tensor]));
  for (const [name, classes] of [
    ['fc_a', 3],
    ['fc_b', 2],
  ] as const) {
    tensors.set(`${name}.weight`, randn([classes, 12]));
    tensors.set(`${name}.bias`, randn([classes]));
  }
  saveSafetensors(file, tensors, {});
  model.dispose();
});
afterAll(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

const data = (): string[] => ['--dataset', 'folder', '--data', at('images')];
const training = words('--epochs 1 --batch-size 16 --image-size 8');

/** By the name of what it writes. */
const commands: readonly (readonly [name: string, argv: () => string[]])[] = [
  ['inspect', () => ['inspect', file, '--heads', '3']],
  ['eval', () => ['eval', file, '--heads', '3', ...data()]],
  ['predict', () => ['predict', file, at('images', 'test', 'left', '0.png'), '--heads', '3']],
  ['export', () => ['export', file, '--heads', '3', '--out', at('exported.safetensors')]],
  ['prune', () => ['prune', file, '--heads', '3', '--rate', '0.5', '--out', at('pruned')]],
  [
    'train',
    () => ['train', '--from', file, '--heads', '3', ...data(), ...training, '--out', at('trained')],
  ],
  [
    'imp',
    () => [
      ...words(
        'imp --arch vit_tiny --vit_structured --d_model 12 --depth 1 --heads 3 --pretrained',
      ),
      file,
      ...data(),
      ...words(
        '--image_size 8 --epochs 1 --warmup 0 --batch_size 16 --pruning_times 1 --rate 0.4 --save_dir',
      ),
      at('imp'),
    ],
  ],
];

describe('--classifier', () => {
  it.each(commands)('chooses one of two in %s, which lists them without it', async (_, argv) => {
    const refused = await runCli(argv());
    expect(refused.status).toBeGreaterThan(0);
    expect(flat(refused.stderr)).toContain(
      'The linear layers fc_a [3, 12], fc_b [2, 12] may be its classifier: --classifier names the one that is meant.',
    );
    const { status, stderr } = await runCli([...argv(), '--classifier', 'fc_b']);
    expect(status, stderr).toBe(0);
    expect(flat(stderr)).toContain('The classifier is fc_b [2, 12], as --classifier says.');
  });

  it('is kept where the run is gone on with, and in the history of what was written', () => {
    for (const path of [
      'exported.safetensors',
      'pruned/model.safetensors',
      'trained/model.safetensors',
    ]) {
      const { info, model } = loadModel(at(path));
      expect(model.config.numClasses).toBe(2);
      expect(info.history[0]).toMatchObject({ step: 'import', classifier: 'fc_b' });
      model.dispose();
    }
  });

  it('is refused for a file that describes itself, and without one', async () => {
    for (const [argv, message] of [
      [
        ['inspect', at('exported.safetensors')],
        /--classifier: got 'fc_b' for .*, which describes itself and has one classifier\. Leave it out\./,
      ],
      [
        ['train', ...data(), ...training, '--out', at('never')],
        /--classifier: got 'fc_b', but there is no --from\. Leave it out\./,
      ],
      [['imp', '--exp_name', 'never'], /got --classifier 'fc_b' without --pretrained or --init/],
    ] as const) {
      const { status, stderr } = await runCli([...argv, '--classifier', 'fc_b']);
      expect(status).toBe(2);
      expect(flat(stderr)).toMatch(message);
    }
  });
});

describe('a file of another program that prune fine-tunes', () => {
  it('says what it was trained on, with the names of its classes', async () => {
    const argv = ['prune', file, ...words('--heads 3 --rate 0.5 --classifier fc_b'), ...data()];
    const { status, stderr } = await runCli([
      ...argv,
      ...words('--epochs 1 --batch-size 16 --out'),
      at('tuned'),
    ]);
    expect(status, stderr).toBe(0);
    const { info } = loadModel(at('tuned', 'model.safetensors'));
    expect(info).toMatchObject({
      dataset: 'folder',
      data: at('images'),
      classes: ['left', 'right'],
    });
    expect(info.mean).toEqual([0.485, 0.456, 0.406]);
    const shown = await runCli(['inspect', at('tuned')]);
    expect(shown.stdout).toMatch(/trained on +folder/);
    const answered = await runCli(['predict', at('tuned'), at('images', 'test', 'left', '0.png')]);
    expect(answered.stdout).toMatch(/left|right/);
    // Without a training nothing is known of what it was trained on.
    const cut = await runCli([...argv, '--out', at('cut')]);
    expect(cut.status, cut.stderr).toBe(0);
    expect(loadModel(at('cut', 'model.safetensors')).info.dataset).toBeUndefined();
  });
});
