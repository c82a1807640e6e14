import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RunFolder } from '../training/run-folder.js';
import { recordedImages, unknownImages } from './own-images.js';

let folder = '';
const at = (...path: string[]): string => join(folder, ...path);

function makeRun(name: string, dataset: unknown): void {
  RunFolder.create(at(name), { command: 'train', args: [], seed: 0, dataset }).release();
}

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'mamba-prune-own-'));
  makeRun('a', { name: 'folder', dir: 'photos' });
});

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

const found = (path: string, dataset = 'folder') => recordedImages(at(path), { dataset });

describe('the images that a run recorded', () => {
  it('are found for its model and its checkpoints, from the folder that it ran in', async () => {
    const expected = { dataset: 'folder', data: resolve('photos') };
    expect(await found('a/model.safetensors')).toEqual(expected);
    expect(await found('a/checkpoints/best.safetensors')).toEqual(expected);
  });

  it('are those of the data set that the model names, or have no folder', async () => {
    expect(await found('a/model.safetensors', 'cifar10')).toEqual({ dataset: 'cifar10' });
    expect(await found('model.safetensors')).toEqual({ dataset: 'folder' });
    makeRun('built-in', { name: 'fashion-mnist' });
    expect(await found('built-in/model.safetensors', 'fashion-mnist')).toEqual({
      dataset: 'fashion-mnist',
    });
    makeRun('odd', 'folder');
    expect(await found('odd/model.safetensors')).toEqual({ dataset: 'folder' });
  });

  it('are unknown where the model does not say what it was trained on', async () => {
    expect(await recordedImages(at('a/model.safetensors'), {})).toBeUndefined();
  });

  it('are asked for with the data set that the model was fine-tuned on', () => {
    const history = [{ step: 'import' }, { step: 'finetune', dataset: 'cifar10' }];
    expect(unknownImages('a.pt', { history }).message).toBe(
      'a.pt does not say what it was trained on at first. Give --dataset: it was fine-tuned on cifar10.',
    );
    expect(unknownImages('a.pt', {}).message).toBe(
      'a.pt does not say what it was trained on. Give --dataset.',
    );
  });

  it('are not looked for in a config.json that is damaged', async () => {
    mkdirSync(at('damaged'));
    writeFileSync(at('damaged/config.json'), '{"kind":');
    expect(await found('damaged/model.safetensors')).toEqual({ dataset: 'folder' });
  });
});
