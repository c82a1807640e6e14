import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { saveSafetensors, zeros } from '@mamba-prune/libtorch';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ModelOptions } from '../models/model-options.js';
import type { ImportOptions } from '../models/import/model.js';
import { saveModel } from '../models/model-file.js';
import { createModel } from '../models/registry.js';
import { openModelFile } from './open-model-file.js';

let folder = '';
const at = (name: string): string => join(folder, name);
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'mp-open-model-file-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

const vit = { dModel: 24, depth: 1, heads: 3, imageSize: 8, patchSize: 4, numClasses: 2 };
const sizes: ImportOptions = { arch: 'vit_tiny', dModel: 24, depth: 1 };

/** A state dict of a small model, with a config.json beside it. */
function write(config: object, arch = 'vit_tiny', options: ModelOptions = vit): string {
  const model = createModel(arch, options);
  saveSafetensors(at('weights.safetensors'), model.stateDict(), {});
  model.dispose();
  writeFileSync(at('config.json'), JSON.stringify(config));
  return at('weights.safetensors');
}

async function opened(path: string, said: ImportOptions) {
  const { model, ...rest } = await openModelFile(path, said);
  const { config } = model;
  model.dispose();
  return { ...rest, config };
}

/** What no file here says. */
const usual = ['pooling token', 'interpolation bilinear', 'cropShare 0.875'];

describe('openModelFile', () => {
  it('takes what nobody said from the files beside a state dict, and says so', async () => {
    const half = [0.5, 0.5, 0.5];
    const path = write({
      num_attention_heads: 6,
      id2label: { 0: 'cat', 1: 'dog' },
      hidden_act: 'gelu',
      architecture: 'x',
      pretrained_cfg: { mean: half, std: half },
    });
    const { config, info, assumed, notes, options } = await opened(path, sizes);
    expect(config).toMatchObject({ headDim: 4 });
    expect(info).toMatchObject({ mean: half, std: half, classes: ['cat', 'dog'] });
    expect(info.history).toMatchObject([{ step: 'import', assumed: usual }]);
    expect(assumed).toEqual(usual);
    expect(notes).toEqual([
      'Taken from the config.json beside it: `heads` 6, `mean` 0.5,0.5,0.5, `std` 0.5,0.5,0.5, the names of 2 classes.',
    ]);
    // With what was found the file alone gives the same.
    rmSync(at('config.json'));
    const again = await opened(path, options);
    expect(again).toEqual({ ...again, config, info, assumed: usual, notes: [] });
  });

  it('takes no heads for a model that has none, and the size of its images from the file', async () => {
    const path = write({ num_attention_heads: 5, image_size: 48 }, 'resnet20', { numClasses: 2 });
    const { config, notes, assumed } = await opened(path, {});
    expect(config).toMatchObject({ arch: 'resnet20', imageSize: 48 });
    expect(notes.join()).toContain('Taken from the config.json beside it: `imageSize` 48.');
    expect(notes.join()).not.toContain('`heads`');
    expect(assumed.join()).not.toContain('imageSize');
  });

  it("writes LayerNorm's eps in one way", async () => {
    for (const eps of [1e-6, 1e-12]) {
      const path = write({ num_attention_heads: 3, layer_norm_eps: eps });
      expect((await opened(path, sizes)).notes.join()).toContain(
        `LayerNorm's eps 1e-${eps === 1e-6 ? 6 : 12}.`,
      );
    }
  });

  it('takes the size of the images of a ViT from the config.json where its positions do not tell it', async () => {
    const model = createModel('vit_tiny', { ...vit, imageSize: 20 });
    const state = model.stateDict();
    // 5x5 patches whose class token has no position, or 4x6 and the token.
    state.set('pos_embed', zeros([1, 25, 24]));
    saveSafetensors(at('weights.safetensors'), state, {});
    model.dispose();
    const path = at('weights.safetensors');
    await expect(opened(path, { ...sizes, heads: 3 })).rejects.toThrow(/not square/);
    writeFileSync(at('config.json'), JSON.stringify({ image_size: 20 }));
    const { config, notes } = await opened(path, { ...sizes, heads: 3 });
    expect(config).toMatchObject({ imageSize: 20 });
    expect(notes).toContain('Taken from the config.json beside it: `imageSize` 20.');
    // One that does not fit answers nothing, and one that is not needed is not looked at.
    writeFileSync(at('config.json'), JSON.stringify({ image_size: 224 }));
    await expect(opened(path, { ...sizes, heads: 3 })).rejects.toThrow(/not square/);
    const plain = await opened(write({ image_size: 224 }), { ...sizes, heads: 3 });
    expect(plain.config).toMatchObject({ imageSize: 8 });
  });

  it.each<[object, 'vit_tiny' | 'resnet18', RegExp]>([
    [
      { architecture: 'vit_tiny_patch16_224', model_args: { act_layer: 'quick_gelu' } },
      'vit_tiny',
      /ViT with another function than gelu between its layers \(act_layer quick_gelu\)/,
    ],
    [
      { architecture: 'vit_tiny_patch16_224', global_pool: 'avgmax' },
      'vit_tiny',
      /another pooling than token or mean \(global_pool avgmax\)/,
    ],
    [{ architecture: 'vit_tiny_patch16_rpn_224' }, 'vit_tiny', /its norms behind the layers/],
    [{ architecture: 'resnetaa50' }, 'resnet18', /against aliasing \(architecture resnetaa50\)/],
    [
      { architecture: 'resnet18', model_args: { aa_layer: 'blurpool', output_stride: 16 } },
      'resnet18',
      /aliasing \(aa_layer blurpool\), and with other strides \(output_stride 16\)/,
    ],
    [{ model_type: 'resnet', hidden_act: 'silu' }, 'resnet18', /than relu .*\(hidden_act silu\)/],
    [
      { model_type: 'resnet', layer_type: 'bottleneck', downsample_in_bottleneck: true },
      'resnet18',
      /first 1x1 convolution \(downsample_in_bottleneck true\)/,
    ],
    [
      { model_type: 'resnet', downsample_in_first_stage: true },
      'resnet18',
      /a stride in its first stage \(downsample_in_first_stage true\)/,
    ],
  ])('refuses what %j says and no shape tells', async (config, arch, message) => {
    const isVit = arch === 'vit_tiny';
    const small = { baseWidth: 4, blocks: [1], numClasses: 2 };
    const path = write(config, arch, isVit ? vit : small);
    const said = isVit ? sizes : { arch, baseWidth: 4, blocks: [1] };
    await expect(opened(path, said)).rejects.toThrow(message);
  });

  it.each([
    ['vit_base_patch16_rpn_224-sw-3b07e89d.pth', 'vit_tiny', /its norms behind the layers/],
    ['my-quick_gelu-ViT.pt', 'vit_tiny', /another function than gelu/],
    ['vit_small_patch16_rope_ape_224.safetensors', 'vit_tiny', /rotary positions/],
    ['resnetblur50-84f4748f.pth', 'resnet18', /pooling against aliasing/],
  ])(
    'refuses what the name of the file says and no shape tells: %s',
    async (name, arch, message) => {
      const isVit = arch === 'vit_tiny';
      const small = { baseWidth: 4, blocks: [1], numClasses: 2 };
      const path = write({}, arch, isVit ? vit : small);
      const said = isVit ? { ...sizes, heads: 3 } : { arch, baseWidth: 4, blocks: [1] };
      expect((await opened(path, said)).config.numClasses).toBe(2);
      renameSync(path, at(name));
      await expect(opened(at(name), said)).rejects.toThrow(message);
      await expect(opened(at(name), said)).rejects.toThrow(
        /as the name of the file says, expected one without/,
      );
    },
  );

  it('takes what an architecture has as usual, and the size of a ResNet by any name', async () => {
    const size = { input_size: [3, 64, 64], mean: [0.5, 0.5, 0.5], std: [1, 1, 1] };
    const config = { architecture: 'tv_resnet34', model_args: { act_layer: 'relu' }, ...size };
    const path = write(config, 'resnet18', { baseWidth: 4, blocks: [1], numClasses: 2 });
    const said = { arch: 'resnet18', baseWidth: 4, blocks: [1] };
    const found = await opened(path, said);
    expect(found.config.imageSize).toBe(64);
    expect(found.assumed).toEqual(['interpolation bilinear', 'cropShare 0.875']);
  });

  it.each([
    ['preprocessor_config.json', { size: { height: 8, width: 8 } }, true],
    ['preprocessor_config.json', { size: 8 }, true],
    ['preprocessor_config.json', { size: 8, crop_pct: 0.875 }, false],
    ['preprocessor_config.json', { size: 8, do_center_crop: true, crop_size: 8 }, false],
    ['preprocessor_config.json', { size: { shortest_edge: 8 } }, false],
    ['preprocessor_config.json', { size: { height: 8, width: 8 }, do_resize: false }, false],
    ['config.json', { pretrained_cfg: { crop_mode: 'squash' } }, true],
    ['config.json', { pretrained_cfg: { crop_mode: 'center' } }, false],
  ])('says where pictures were squeezed: %s with %j', async (name, content, squeezed) => {
    const path = write({});
    writeFileSync(at(name), JSON.stringify(content));
    const { notes } = await opened(path, { ...sizes, heads: 3 });
    const said = notes.filter((note) => note.includes('squeezed into a square'));
    expect(said.map((note) => note.startsWith(`The ${name} beside it`))).toEqual(
      squeezed ? [true] : [],
    );
  });

  it('takes heads and pooling that a model of timm was made with', async () => {
    const architecture = 'vit_tiny_patch4_8';
    const path = write({ architecture, global_pool: 'avg', model_args: { num_heads: 6 } });
    const { config, notes } = await opened(path, sizes);
    expect(config).toMatchObject({ headDim: 4, pooling: 'mean' });
    expect(notes).toContain('Taken from the config.json beside it: `heads` 6, `pooling` mean.');
  });

  it('puts what is said before what the files say', async () => {
    const path = write({ num_attention_heads: 6, id2label: { 0: 'cat', 1: 'dog' } });
    const said = { ...sizes, heads: 3, classes: ['a', 'b'], mean: [0, 0, 0], std: [1, 1, 1] };
    const { config, info, notes } = await opened(path, said);
    expect(config).toMatchObject({ headDim: 8 });
    expect(info).toMatchObject({ classes: ['a', 'b'], mean: [0, 0, 0], std: [1, 1, 1] });
    expect(notes).toEqual([]);
  });

  it('says so where mean and deviation look like those of pixels up to 255', async () => {
    const path = write({ num_attention_heads: 6 });
    const said = { ...sizes, mean: [123.7, 116.3, 103.5], std: [58.4, 57.1, 57.4] };
    const { notes } = await opened(path, said);
    expect(notes.slice(-2)).toEqual([
      '`mean` 123.7 was taken as it is, of pixels from 0 to 1. If it is of pixels up to 255, divide it by 255.',
      '`std` 58.4 was taken as it is, of pixels from 0 to 1. If it is of pixels up to 255, divide it by 255.',
    ]);
  });

  it('leaves what cannot be of the model, and says so', async () => {
    const path = write({
      architecture: 'x',
      label_names: ['a', 'b', 'c'],
      mean: [0.5],
      std: [0, 0, 0],
    });
    const { info, assumed, notes } = await opened(path, { ...sizes, heads: 3 });
    expect(info.classes).toEqual([]);
    const pixels = ['mean 0.485/0.456/0.406', 'std 0.229/0.224/0.225'];
    expect(assumed).toEqual([usual[0], ...pixels, ...usual.slice(1)]);
    expect(notes).toEqual([
      'Left out of the config.json beside it: `mean` 0.5, for the model has 3 channels.',
      'Left out of the config.json beside it: `std` 0,0,0, for it has a 0, expected numbers above 0.',
      'Left out of the config.json beside it: the names of 3 classes, for the model has 2 classes.',
    ]);
  });

  it('counts one channel as one', async () => {
    const path = write({ architecture: 'x', mean: [0.5, 0.5, 0.5] }, 'vit_tiny', {
      ...vit,
      channels: 1,
    });
    const { notes } = await opened(path, { ...sizes, heads: 3 });
    expect(notes).toContain(
      'Left out of the config.json beside it: `mean` 0.5,0.5,0.5, for the model has 1 channel.',
    );
  });

  it('takes the architecture that a model began as for no mistake where its depth is another', async () => {
    const shallow = { depth: 1, imageSize: 8, patchSize: 4, numClasses: 2 };
    const path = write({ architecture: 'vit_tiny_patch4_8' }, 'vit_tiny', shallow);
    const { config, notes, options } = await opened(path, {});
    expect(config).toMatchObject({ arch: 'vit_tiny', depth: 1, headDim: 64 });
    expect(notes.join(' ')).toContain('called vit_tiny, and has `depth` 1 as the file has it');
    // A run keeps these and reads the file anew.
    rmSync(at('config.json'));
    expect((await opened(path, options)).config).toEqual(config);
    // What a person says is another matter, and so is a card of another width.
    await expect(opened(path, { arch: 'vit_tiny' })).rejects.toThrow(/`depth` is 1, expected 12/);
    const other = write({ architecture: 'vit_small_patch4_8' }, 'vit_tiny', shallow);
    await expect(opened(other, {})).rejects.toThrow(/arch vit_small .*so says the config\.json/);
  });

  it('names the file whose words make the weights wrong', async () => {
    const path = write({ num_attention_heads: 5 });
    await expect(opened(path, sizes)).rejects.toThrow(
      /heads 5: so says the config\.json beside it/,
    );
    const resnet = { baseWidth: 4, blocks: [1], imageSize: 8, numClasses: 2 };
    const other = write({ architecture: 'vit_tiny_patch16_224' }, 'resnet20', resnet);
    await expect(opened(other, { blocks: [1], baseWidth: 4 })).rejects.toThrow(
      /'vit_tiny' for the weights of a resnet.*arch vit_tiny and heads 3: so says/,
    );
    // Named, the architecture is not that of the file beside it any more, nor are its heads.
    const { config } = await opened(other, { arch: 'resnet20', blocks: [1], baseWidth: 4 });
    expect(config.arch).toBe('resnet20');
  });

  it('refuses neurons that compute something else', async () => {
    const path = write({ num_attention_heads: 3, hidden_act: 'quick_gelu' });
    await expect(opened(path, sizes)).rejects.toThrow(
      /compute quick_gelu \(hidden_act in the config\.json beside it\), expected gelu/,
    );
  });

  it('reads a file of ours as it is, whatever lies beside it', async () => {
    const model = createModel('vit_tiny', vit);
    const info = { classes: [], mean: [0.5, 0.5, 0.5], std: [0.2, 0.2, 0.2], history: [] };
    saveModel(at('ours.safetensors'), model, info);
    model.dispose();
    writeFileSync(at('config.json'), '{"num_attention_heads": 6, "hidden_act": "relu"}');
    const agreeing = { ...sizes, heads: 3, mean: info.mean };
    const same = await opened(at('ours.safetensors'), agreeing);
    expect(same).toMatchObject({ info, options: {}, notes: [] });
    // It does not say how its classes are called.
    const named = await opened(at('ours.safetensors'), { classes: ['a', 'b'] });
    expect(named).toMatchObject({
      info: { classes: ['a', 'b'] },
      options: { classes: ['a', 'b'] },
    });
    for (const [said, message] of [
      [{ heads: 6 }, '`heads` 3, asked for 6'],
      [{ std: [1, 1, 1] }, '`std` 0.2,0.2,0.2, asked for 1,1,1'],
      [{ classes: ['a'] }, 'got 1 value for `classes` (a), expected 2'],
      [{ scan: 'bi' }, 'vit_tiny: got the option `scan`'],
      [{ key: 'ema' }, "got `key` 'ema' for"],
    ] as const) {
      await expect(opened(at('ours.safetensors'), said)).rejects.toThrow(message);
    }
  });
});
