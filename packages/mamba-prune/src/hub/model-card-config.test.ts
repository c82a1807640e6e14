import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ModelCardConfig } from '../models/import/card.js';
import { besideFile } from './model-card-config.js';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'mp-card-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

/** Of weights beside these files. */
function beside(files: Readonly<Record<string, object | string>>): Omit<ModelCardConfig, 'from'> {
  for (const [name, content] of Object.entries(files)) {
    const text = typeof content === 'string' ? content : JSON.stringify(content);
    writeFileSync(join(folder, name), text);
  }
  const { from, ...entries } = besideFile(join(folder, 'weights.bin'));
  expect(Object.keys(from).sort()).toEqual(Object.keys(entries).sort());
  return entries;
}

const half = [0.5, 0.5, 0.5];

describe('what lies beside weights', () => {
  it('of timm: pixels, crop, names, and the architecture under our name', () => {
    const pretrained = {
      mean: half,
      std: half,
      interpolation: 'bicubic',
      crop_pct: 0.9,
      input_size: [3, 224, 224],
      fixed_input_size: true,
      num_classes: 2,
    };
    const expected = {
      arch: 'vit_tiny',
      heads: 3,
      mean: half,
      std: half,
      imageSize: 224,
      interpolation: 'bicubic',
      cropShare: 0.9,
      classes: ['a', 'b'],
    };
    const architecture = 'vit_tiny_patch16_224';
    expect(
      beside({
        'config.json': { architecture, label_names: ['a', 'b'], pretrained_cfg: pretrained },
      }),
    ).toEqual(expected);
    // A model of the width of others, whose heads are narrower.
    expect(
      beside({ 'config.json': { architecture: 'vit_base_patch16_gap_224', global_pool: 'avg' } }),
    ).toMatchObject({ arch: 'vit_base', heads: 16, pooling: 'mean' });
    // As it was before `pretrained_cfg`.
    expect(
      beside({ 'config.json': { architecture, label_names: ['a', 'b'], ...pretrained } }),
    ).toEqual(expected);
  });

  it.each([
    ['deit_small_patch16_224', { arch: 'vit_small', heads: 6 }],
    ['resnet18', { arch: 'resnet18' }],
    ['vit_base_patch16_224', { arch: 'vit_base', heads: 12 }],
    ['vit_huge_patch14_224', {}],
    ['convnext_tiny', {}],
  ])('names the architecture %s as %j', (architecture, expected) => {
    expect(beside({ 'config.json': { architecture } })).toEqual(expected);
  });

  it('of timm: heads and pooling that the model was made with', () => {
    const architecture = 'vit_tiny_patch16_224';
    const config = { architecture, global_pool: 'avg', model_args: { num_heads: 6 } };
    expect(beside({ 'config.json': config })).toEqual({
      arch: 'vit_tiny',
      heads: 6,
      pooling: 'mean',
    });
    expect(beside({ 'config.json': { architecture, global_pool: 'token' } })).toEqual({
      arch: 'vit_tiny',
      heads: 3,
      pooling: 'token',
    });
    // A ResNet pools in no other way.
    expect(beside({ 'config.json': { architecture: 'resnet18', global_pool: 'avg' } })).toEqual({
      arch: 'resnet18',
    });
  });

  it.each([
    [{ do_rescale: false }, [127.5 / 255, 0, 1], [51 / 255, 1, 1]],
    [{ rescale_factor: 1 / 127.5 }, [63.75, 0, 127.5], [25.5, 127.5, 127.5]],
    [{ rescale_factor: 0.00392156862745098 }, [127.5, 0, 255], [51, 255, 255]],
  ])('of transformers: pixels of %j become those from 0 to 1', (scale, mean, std) => {
    const files = { image_mean: [127.5, 0, 255], image_std: [51, 255, 255], ...scale };
    const found = beside({ 'preprocessor_config.json': files });
    mean.forEach((value, channel) => {
      expect(found.mean?.[channel]).toBeCloseTo(value, 12);
      expect(found.std?.[channel]).toBeCloseTo(std[channel] ?? NaN, 12);
    });
  });

  it('of transformers: heads, names and numbers of the layers', () => {
    const config = {
      model_type: 'vit',
      num_attention_heads: 12,
      hidden_act: 'gelu',
      image_size: 224,
      layer_norm_eps: 1e-12,
      id2label: { 1: 'dog', 0: 'cat' },
    };
    expect(beside({ 'config.json': config })).toEqual({
      heads: 12,
      activation: 'gelu',
      imageSize: 224,
      layerNormEps: 1e-12,
      classes: ['cat', 'dog'],
    });
  });

  it.each([
    [
      { size: { height: 224, width: 224 }, resample: 2 },
      { imageSize: 224, cropShare: 1 },
    ],
    [
      { size: 224, resample: 2 },
      { imageSize: 224, cropShare: 1 },
    ],
    [
      { size: { shortest_edge: 256 }, crop_size: { height: 224, width: 224 }, resample: 2 },
      { imageSize: 224, cropShare: 0.875 },
    ],
    [
      { size: { shortest_edge: 256 }, do_center_crop: false, crop_size: 224, resample: 2 },
      { imageSize: 256, cropShare: 1 },
    ],
    [
      { size: { shortest_edge: 224 }, crop_pct: 0.875, resample: 2 },
      { imageSize: 224, cropShare: 0.875 },
    ],
  ])('of transformers: %j makes images as %j', (preprocessor, expected) => {
    expect(beside({ 'preprocessor_config.json': preprocessor })).toEqual({
      interpolation: 'bilinear',
      ...expected,
    });
  });

  it('what prepares the images goes before what describes the model, entry by entry', () => {
    const files = {
      'config.json': { image_size: 224, num_attention_heads: 3 },
      'preprocessor_config.json': { image_mean: half, image_std: half, size: 384, resample: 3 },
    };
    expect(beside(files)).toEqual({
      mean: half,
      std: half,
      interpolation: 'bicubic',
      cropShare: 1,
      imageSize: 384,
      heads: 3,
    });
    expect(besideFile(join(folder, 'weights.bin')).from).toMatchObject({
      mean: 'preprocessor_config.json',
      heads: 'config.json',
    });
  });

  it('images that are not normalised have a mean of 0 and a deviation of 1', () => {
    const preprocessor = { do_normalize: false, image_mean: half, image_std: half };
    expect(beside({ 'preprocessor_config.json': preprocessor })).toEqual({
      mean: [0, 0, 0],
      std: [1, 1, 1],
    });
  });

  it.each<[string, Readonly<Record<string, object | string>>?]>([
    ['nothing'],
    ['no JSON', { 'config.json': '{"architecture": ' }],
    ['no object', { 'config.json': '[1, 2]', 'preprocessor_config.json': 'null' }],
    ['names that mean nothing', { 'config.json': { id2label: { 0: 'LABEL_0', 1: 'LABEL_1' } } }],
    ['a name missing', { 'config.json': { id2label: { 0: 'cat', 2: 'dog' } } }],
    ['entries of other forms', { 'config.json': { architecture: 'x', mean: 'a', crop_pct: 7 } }],
    ['a run of ours', { 'config.json': { kind: 'mamba-prune run', model: { arch: 'vit_tiny' } } }],
  ])('%s says nothing', (_, files = {}) => {
    expect(beside(files)).toEqual({});
  });

  it('does not wait for a named pipe', () => {
    execFileSync('mkfifo', [join(folder, 'config.json')]);
    expect(beside({})).toEqual({});
  });
});
