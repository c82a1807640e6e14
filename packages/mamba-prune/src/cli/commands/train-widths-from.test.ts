// train --widths-from: random weights in the widths of another model.
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { denseConfig } from '../../models/dense-config.js';
import { loadModel, saveModel } from '../../models/model-file.js';
import { createModel, createModelFromConfig } from '../../models/registry.js';
import { writeTinyImages } from '../../workflows/testing/tiny.js';
import { writeStateDict } from '../testing/model-files.js';
import { runCli } from '../testing/run-cli.js';

let folder: string;
let images: string;
let pruned: string;

const at = (...path: string[]): string => join(folder, ...path);
const widths = { 'blocks.0.ssm': 5, 'blocks.1.mlp': 3 };

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'mp-widths-from-'));
  images = at('images');
  mkdirSync(images);
  await writeTinyImages(images);
  pruned = at('pruned.safetensors');
  // Of other images and other classes than those of the training.
  const sizes = { dModel: 8, depth: 2, dState: 3, patchSize: 4, imageSize: 16, numClasses: 7 };
  const dense = denseConfig('mamba_nano', { ...sizes, channels: 1 });
  const all = { ...dense, widths: { ...dense.widths, ...widths } };
  const model = createModelFromConfig(all);
  const classes = Array.from({ length: 7 }, (_, i) => `class ${i}`);
  const history = [{ step: 'train' }, { step: 'prune' }];
  saveModel(pruned, model, { classes, mean: [0.5], std: [0.5], history });
  model.dispose();
});

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

const data = (): string[] => ['--dataset', 'folder', '--data', images, '--image-size', '8'];

async function train(out: string, ...flags: string[]) {
  const fixed = ['--epochs', '1', '--batch-size', '8', '--threads', '1', '--device', 'cpu'];
  const outcome = await runCli(['train', ...data(), ...fixed, ...flags, '--out', at(out)]);
  expect(outcome.stderr.replaceAll(/\s+/g, ' ')).not.toContain('mamba-prune train:');
  expect(outcome.status).toBe(0);
  return readFileSync(at(out, 'model.safetensors'));
}

describe('train --widths-from', () => {
  it('has the architecture, sizes and widths of the model, and classes, size and channels of the data', async () => {
    await train('a', '--widths-from', pruned);
    const { model, info } = loadModel(at('a', 'model.safetensors'));
    expect(model.config).toMatchObject({
      arch: 'mamba_nano',
      dModel: 8,
      depth: 2,
      dState: 3,
      patchSize: 4,
      imageSize: 8,
      channels: 3,
      numClasses: 2,
    });
    expect(model.config.widths).toMatchObject(widths);
    // Nothing of the weights is the other model's: what came before them is not either.
    expect(info.history.map(({ step }) => step)).toEqual(['train']);
    model.dispose();
  });

  it('begins with random weights of the seed', async () => {
    const one = await train('seed-0', '--widths-from', pruned);
    expect((await train('seed-0-again', '--widths-from', pruned)).equals(one)).toBe(true);
    expect((await train('seed-1', '--widths-from', pruned, '--seed', '1')).equals(one)).toBe(false);
  });

  it('goes on without the model', async () => {
    const moved = at('moved.safetensors');
    const { model, info } = loadModel(pruned);
    saveModel(moved, model, info);
    model.dispose();
    await train('goes-on', '--widths-from', moved, '--drop-path', '0.1');
    rmSync(moved);
    const more = ['train', '--resume', '--epochs', '2', '--threads', '1', '--device', 'cpu'];
    const { status } = await runCli([...more, '--out', at('goes-on')]);
    expect(status).toBe(0);
    const grown = loadModel(at('goes-on', 'model.safetensors'));
    expect(grown.model.config).toMatchObject({ widths, dropPath: 0.1 });
    grown.model.dispose();
    const refused = await runCli([...more, '--widths-from', pruned, '--out', at('goes-on')]);
    expect(refused.stderr).toContain(
      '--widths-from: got a model to take the widths of, but the run has begun. Leave it out.',
    );
    expect(refused.status).toBe(2);
  });

  it('never deletes the run whose widths it takes', async () => {
    await train('donor', '--widths-from', pruned);
    const words = ['train', ...data(), '--widths-from', at('donor'), '--overwrite'];
    const { status, stderr } = await runCli([...words, '--out', at('donor')]);
    expect(status).toBe(2);
    expect(stderr.replaceAll(/\s+/g, ' ')).toContain(
      'which the new run needs and --overwrite would delete',
    );
    loadModel(at('donor', 'model.safetensors')).model.dispose();
  });

  it('takes a checkpoint of another program as far as its tensors tell its sizes', async () => {
    const resnet = createModel('resnet20', { numClasses: 5 });
    const file = at('resnet.safetensors');
    writeStateDict(file, resnet);
    resnet.dispose();
    await train('resnet', '--widths-from', file);
    const { model } = loadModel(at('resnet', 'model.safetensors'));
    expect(model.config).toMatchObject({ arch: 'resnet20', numClasses: 2 });
    model.dispose();
  });

  it('is refused for a model that no new one is like, by the flag that goes on with its weights', async () => {
    const sizes = { dModel: 24, depth: 1, heads: 3, imageSize: 8, patchSize: 4, numClasses: 2 };
    const config = { ...denseConfig('vit_tiny', sizes), registers: 4 };
    const model = createModelFromConfig(config);
    const file = at('registers.safetensors');
    saveModel(file, model, { classes: [], mean: [0, 0, 0], std: [1, 1, 1], history: [] });
    model.dispose();
    const words = ['train', ...data(), '--widths-from', file, '--out', at('no-like')];
    const { status, stderr } = await runCli(words);
    expect(stderr.replaceAll(/\s+/g, ' ')).toContain(
      'a new vit_tiny has registers none, and this one 4: no model is made anew like it. Go on with its weights (--from)',
    );
    expect(status).toBe(2);
  });

  it.each<[string[], RegExp]>([
    [['--from', 'x'], /got --from with --widths-from, expected one of the two/],
    [['--arch', 'vit_tiny'], /got --arch with --widths-from, whose model has its own/],
    [['--depth', '2', '--d-model', '8'], /got --(depth|d-model), --(depth|d-model) with --widths/],
    [['--weights', 'ema'], /--weights: got 'ema', but the weights are random with --widths-from/],
    [['--resample-positions'], /--resample-positions: the weights are random with --widths-from/],
  ])('is refused with %j', async (flags, message) => {
    const words = ['train', ...data(), '--widths-from', pruned, ...flags, '--out', at('refused')];
    const { status, stderr } = await runCli(words);
    expect(stderr.replaceAll(/\s+/g, ' ')).toMatch(message);
    expect(status).toBe(2);
  });
});
