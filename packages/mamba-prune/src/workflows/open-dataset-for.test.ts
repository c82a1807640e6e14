// A data set that is opened for a model is what the model was trained on, whatever a new training would make of it.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { manualSeed } from '@mamba-prune/libtorch';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { runCli } from '../cli/testing/run-cli.js';
import { openDataset } from '../data/datasets.js';
import { evaluateModel } from '../inference/evaluate-model.js';
import { loadModel, saveModel } from '../models/model-file.js';
import { createModel } from '../models/registry.js';
import { openDatasetFor } from './open-dataset-for.js';
import { side, writeTinyImages } from './testing/tiny.js';

let folder = '';
const at = (...path: string[]): string => join(folder, ...path);

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'mamba-prune-dataset-for-'));
  vi.stubEnv('XDG_CACHE_HOME', at('cache'));
  await writeTinyImages(at('images'));
  manualSeed(5);
  const options = { dModel: 8, depth: 1, dState: 2, imageSize: side, numClasses: 2 };
  const model = createModel('mamba_nano', options);
  const { info } = await openDataset('folder', { dir: at('images'), imageSize: side });
  saveModel(at('model.safetensors'), model, {
    classes: [...info.classes],
    mean: [0.1, 0.2, 0.3],
    std: [0.7, 0.6, 0.5],
    preprocessing: { interpolation: 'bicubic', cropShare: 0.5 },
    history: [],
  });
  model.dispose();
});

afterAll(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

describe('openDatasetFor', () => {
  it('gives the images as the command line evaluates them', async () => {
    const opened = loadModel(at('model.safetensors'));
    const dataset = await openDatasetFor(opened, 'folder', { dir: at('images') });
    expect(dataset.info).toMatchObject({
      height: side,
      mean: [0.1, 0.2, 0.3],
      preprocessing: { interpolation: 'bicubic', cropShare: 0.5 },
    });
    const { stdout } = await runCli([
      'eval',
      at('model.safetensors'),
      '--dataset',
      'folder',
      '--data',
      at('images'),
      '--json',
    ]);
    const { loss } = JSON.parse(stdout) as { loss: number };
    const [own, other] = [
      await evaluateModel(opened.model, dataset),
      await evaluateModel(
        opened.model,
        await openDataset('folder', { dir: at('images'), imageSize: side }),
      ),
    ];
    expect(own.loss).toBe(loss);
    expect(other.loss).not.toBe(loss);
    opened.model.dispose();
  });

  it('refuses other classes, a model that does not say its data, and options that there are not', async () => {
    const { model, info } = loadModel(at('model.safetensors'));
    const dir = at('images');
    const others = { model, info: { ...info, classes: ['x', 'y'] } };
    await expect(openDatasetFor(others, 'folder', { dir })).rejects.toThrow("expected 'x'");
    await expect(openDatasetFor({ model, info })).rejects.toThrow('got no name of a data set');
    const wrong = { dirr: dir } as never;
    await expect(openDatasetFor({ model, info }, 'folder', wrong)).rejects.toThrow(
      'openDatasetFor: got the option `dirr`',
    );
    model.dispose();
  });
});
