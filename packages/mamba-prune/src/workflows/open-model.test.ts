// What a program gives to have a model: a file, a folder of this or of another program, a name.
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { manualSeed, saveSafetensors } from '@mamba-prune/libtorch';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeBoxedModels } from '../cli/testing/boxed-models.js';
import { UsageError } from '../errors.js';
import { loadModel, saveModel } from '../models/model-file.js';
import { createModel } from '../models/registry.js';
import { asHuggingFace } from '../models/testing/other-names.js';
import { openModel } from './open-model.js';

const folder = mkdtempSync(join(tmpdir(), 'open-model-'));
const at = (...path: string[]): string => join(folder, ...path);
const sizes = { dModel: 24, depth: 1, heads: 6, imageSize: 8, patchSize: 4, numClasses: 2 };
const said = { arch: 'vit_tiny', dModel: 24, depth: 1 };
const index = 'model.safetensors.index.json';

/** As `save_pretrained` writes it, whole and split. */
beforeAll(() => {
  manualSeed(1);
  const model = createModel('vit_tiny', sizes);
  const tensors = asHuggingFace(model.stateDict(), 'vit.', 5);
  const shard = 'model-00001-of-00001.safetensors';
  for (const [name, file] of [
    ['whole', 'model.safetensors'],
    ['split', shard],
  ] as const) {
    mkdirSync(at(name));
    saveSafetensors(at(name, file), tensors, {});
    const card = { num_attention_heads: 6, layer_norm_eps: 1e-3, id2label: { 0: 'cat', 1: 'dog' } };
    writeFileSync(at(name, 'config.json'), JSON.stringify(card));
  }
  const places = Array.from(tensors.keys(), (name) => [name, shard]);
  writeFileSync(
    at('split', index),
    JSON.stringify({ weight_map: Object.fromEntries(places) as unknown }),
  );
  mkdirSync(at('run'));
  const info = { classes: ['cat', 'dog'], mean: [0.5, 0.5, 0.5], std: [1, 1, 1], history: [] };
  saveModel(at('run', 'model.safetensors'), model, info);
  model.dispose();
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

describe('openModel', () => {
  it('names options as a program has them, and no flag', async () => {
    const fixture = join(import.meta.dirname, '../models/vim/fixtures/checkpoint.pth');
    const vim = { arch: 'vim_tiny', dModel: 48, depth: 4 };
    const { notes } = await openModel(fixture, vim);
    expect(notes).toContain(
      'Took the weights at "model_ema"; the file holds others at "model": `key` chooses.',
    );
    const messages = await Promise.all(
      [
        { ...vim, key: 'teacher' },
        { ...vim, imageSize: 60 },
        { ...vim, stride: 17 },
        { arch: 'vim_tiny' },
      ].map((options) => openModel(fixture, options).catch(String)),
    );
    for (const text of [...notes, ...messages]) expect(text).not.toMatch(/--[a-z]/);
    expect(messages[0]).toMatch(/import: `key`: got "teacher", expected one that holds tensors/);
  });

  it.each([
    ['whole', 'model.safetensors'],
    ['split', index],
  ])(
    'takes a folder of another program, with what its config.json says: %s',
    async (name, file) => {
      const { model, info, path, isOurs, notes } = await openModel(at(name), said);
      expect(path).toBe(at(name, file));
      expect(isOurs).toBe(false);
      expect(model.config).toMatchObject({ arch: 'vit_tiny', headDim: 4, eps: 1e-3 });
      expect(info.classes).toEqual(['cat', 'dog']);
      expect(notes.join(' ')).toContain('Taken from the config.json beside it: `heads` 6');
      model.dispose();
    },
  );

  it('takes the folder of a run, and a file', async () => {
    for (const source of [at('run'), at('run', 'model.safetensors')]) {
      const { model, info, path, isOurs } = await openModel(source);
      expect([path, isOurs]).toEqual([at('run', 'model.safetensors'), true]);
      expect(info.mean).toEqual([0.5, 0.5, 0.5]);
      model.dispose();
    }
  });

  it.each(['whole', 'run'])(
    'names all that it takes where it is given what it does not, for the model in %s',
    async (model) => {
      const wrong = { unknownOption: 1 } as object;
      await expect(openModel(at(model), wrong)).rejects.toThrow(
        /^openModel: got the option `unknownOption`, expected some of .*`key`, `classifier`.*`dModel`.*`headDim`, `pooling`/,
      );
      await expect(openModel(at(model), { mean: 3 } as object)).rejects.toThrow(
        'openModel: mean: got the number 3, expected an array.',
      );
    },
  );

  it('takes a model of the package of trained ones', async () => {
    const { model, info } = loadModel(at('run', 'model.safetensors'));
    writeBoxedModels(at('box'), [{ name: 'lab/small', model, info }]);
    process.env['MAMBA_PRUNE_MODELS'] = at('box');
    try {
      const opened = await openModel('models:lab/small');
      expect(opened.model.config).toEqual(model.config);
      expect(existsSync(opened.path)).toBe(true);
    } finally {
      delete process.env['MAMBA_PRUNE_MODELS'];
    }
  });

  it('refuses what is no model, and says what is expected', async () => {
    await expect(openModel(at('nowhere'))).rejects.toThrow(UsageError);
    await expect(openModel(at('nowhere'))).rejects.toThrow(
      /does not exist, expected a file of weights/,
    );
    await expect(openModel('hf:nothing')).rejects.toThrow(UsageError);
    // By its name, and not as a path.
    await expect(openModel('pretrained:nothing')).rejects.toThrow(
      /got 'pretrained:nothing', expected one of .*pretrained:vim_tiny/,
    );
    await expect(openModel('')).rejects.toThrow(/openModel: got an empty path/);
  });
});
