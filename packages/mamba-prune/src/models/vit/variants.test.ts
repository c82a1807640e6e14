// ViTs with other tokens, poolings and heads than timm's plain one: everything that a model can do.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Tensor, manualSeed, noGrad, randn, setNumThreads } from '@mamba-prune/libtorch';
import { afterAll, describe, expect, it } from 'vitest';
import { UsageError } from '../../errors.js';
import { buildOnnxModel } from '../../export/build-model.js';
import { encodeModel } from '../../onnx/proto.js';
import { ownLogits, syntheticImages, verifyOnnx } from '../../export/verify.js';
import { maskModel, pruneModel } from '../../pruning/surgery.js';
import type { ImageModel } from '../image-model.js';
import { loadModel, saveModel } from '../model-file.js';
import { countParameters } from '../shapes.js';
import { vitShapes } from './shapes.js';
import { createModel, createModelFromConfig } from '../registry.js';
import { relativeDifference } from '../testing/parity.js';
import { type VitConfig, checkVitConfig } from './config.js';
import { halfUnits } from '../testing/half-units.js';

// Tensors this small are done sooner than a second thread has begun.
setNumThreads(1);

const folder = mkdtempSync(join(tmpdir(), 'vit-variants-'));
afterAll(() => {
  rmSync(folder, { recursive: true });
});

// Roundings of two blocks, in another order: 6e-8 each.
const rounding = 1e-5;

const plain = createModel('vit_tiny', {
  dModel: 24,
  depth: 2,
  heads: 3,
  imageSize: 12,
  numClasses: 5,
}).config as VitConfig;

function trained(fields: Partial<VitConfig>): ImageModel {
  manualSeed(3);
  const model = createModelFromConfig({ ...plain, ...fields });
  noGrad(() => {
    for (const parameter of model.parameters()) parameter.add_(randn(parameter.shape).mul(0.2));
  });
  return model.eval();
}

const run = (model: ImageModel, images: Tensor): Tensor => noGrad(() => model.forward(images));

const variants: Record<string, Partial<VitConfig>> = {
  plain: {},
  'another eps': { eps: 0.1 },
  registers: { registers: 3 },
  'two classifiers': { distilled: true },
  'two classifiers and registers': { distilled: true, registers: 2 },
  'mean of normed tokens': { pooling: 'mean', registers: 1 },
  'norm of the mean': { pooling: 'mean', poolsBeforeNorm: true },
  'no class token': { pooling: 'mean', classToken: false },
  'no class token, norm of the mean': {
    pooling: 'mean',
    classToken: false,
    poolsBeforeNorm: true,
  },
  'class token and mean': { pooling: 'token-and-mean', registers: 2 },
  'narrow heads': { headDim: 5 },
  'narrow heads of several widths': { headDims: { 'blocks.1.attn': 3 } },
};

describe.each(Object.entries(variants))('a ViT: %s', (name, fields) => {
  const info = { classes: [], mean: [0.4, 0.5, 0.6], std: [0.2, 0.3, 0.4], history: [] };
  const images = (): Tensor => {
    manualSeed(4);
    return randn([3, 3, 12, 12]);
  };

  it('computes with operators for whole blocks what it computes without', () => {
    const model = trained(fields);
    const x = images();
    const whole = run(model, x);
    expect(relativeDifference(whole, model.forward(x))).toBeLessThan(rounding);
    if (name !== 'plain')
      expect(relativeDifference(whole, run(trained({}), x))).toBeGreaterThan(1e-3);
  });

  it('equals its masked model when it is pruned, is saved, loaded and exported', async () => {
    const model = trained(fields);
    const kept = halfUnits(model);
    const pruned = pruneModel(model, kept).eval();
    maskModel(model, kept);
    expect(relativeDifference(run(pruned, images()), run(model, images()))).toBeLessThan(rounding);
    expect(pruned.numParameters()).toBe(countParameters(vitShapes(pruned.config as VitConfig)));
    const path = join(folder, 'model.safetensors');
    saveModel(path, pruned, info);
    const loaded = loadModel(path).model;
    expect(loaded.config).toEqual(pruned.config);
    expect(run(loaded, images()).equal(run(pruned, images()))).toBe(true);
    for (const exported of [trained(fields), pruned]) {
      const pixels = syntheticImages(2, exported.config);
      const bytes = encodeModel(buildOnnxModel(exported, info));
      const { agreement } = await verifyOnnx(bytes, ownLogits(exported, info, pixels), pixels);
      expect(agreement).toBe(1);
    }
  });

  it('gives a gradient to every parameter', () => {
    const model = trained(fields);
    model.train();
    model.forward(images()).sum().backward();
    for (const [parameter, value] of model.namedParameters()) {
      expect(value.grad, parameter).not.toBeNull();
    }
  });

  it('computes in 16 bits nearly what it computes in 32', () => {
    const model = trained(fields);
    const exact = run(model, images());
    const rounded = run(model, images().to('bfloat16'));
    // bfloat16 rounds by 2^-9 = 2e-3; two blocks do it about twenty times.
    expect(relativeDifference(rounded, exact)).toBeLessThan(0.05);
  });
});

describe('what the classifier reads', () => {
  it('is the mean of both classifiers of a distilled model', () => {
    const model = trained({ distilled: true });
    const x = randn([2, 3, 12, 12]);
    const [weight, bias] = ['head_dist.weight', 'head_dist.bias'].map(
      (name) => model.stateDict().get(name) as Tensor,
    ) as [Tensor, Tensor];
    const both = run(model, x);
    noGrad(() => {
      weight.zero_();
      bias.zero_();
    });
    // Half of the first classifier's; the rest is half of the second's.
    const first = run(model, x).mul(2);
    const second = both.mul(2).sub(first);
    expect(relativeDifference(first.add(second).mul(0.5), both)).toBeLessThan(rounding);
    expect(relativeDifference(second, first)).toBeGreaterThan(0.1);
  });

  it('is the class token beside the mean of the patches', () => {
    const model = trained({ pooling: 'token-and-mean' });
    const state = model.stateDict();
    const x = randn([2, 3, 12, 12]);
    const single = (fields: Partial<VitConfig>, at: number): Tensor => {
      const other = trained(fields);
      const head = (state.get('head.weight') as Tensor).narrow(1, at, 24);
      other.loadStateDict(new Map([...state, ['head.weight', head]]));
      return run(other, x);
    };
    const bias = state.get('head.bias') as Tensor;
    const sum = single({}, 0)
      .add(single({ pooling: 'mean' }, 24))
      .sub(bias);
    expect(relativeDifference(run(model, x), sum)).toBeLessThan(rounding);
  });
});

describe('a configuration', () => {
  it('of an older file says the same as before', () => {
    expect(Object.keys(plain)).not.toContain('eps');
    expect(trained({}).stateDict().size).toBe(2 * 12 + 4 + 4 + 2 - 2);
  });

  it.each([
    [{ classToken: false }, /no class token, expected pooling: mean/],
    [{ distilled: true, pooling: 'mean' }, /distilled with pooling: mean, expected token/],
    [{ poolsBeforeNorm: true }, /poolsBeforeNorm with pooling: token, expected mean/],
    [{ eps: 0 }, /eps/],
    [{ registers: -1 }, /registers/],
    [{ pooling: 'max' }, /pooling/],
    [{ headDims: { 'blocks.9.attn': 3 } }, /headDims of blocks.9.attn/],
  ])('that no model has is refused: %j', (fields, message) => {
    const check = () => checkVitConfig({ ...plain, ...fields });
    expect(check).toThrow(UsageError);
    expect(check).toThrow(message);
  });
});

it('counts what the second classifier and the tokens cost', () => {
  const costs = (fields: Partial<VitConfig>) => {
    const entries = new Map(
      trained(fields)
        .macs()
        .map(({ name, macs }) => [name, macs]),
    );
    return [entries.get('head'), entries.get('head_dist'), entries.get('blocks.0.mlp')];
  };
  expect(costs({})).toEqual([24 * 5, undefined, 10 * 2 * 24 * 96]);
  expect(costs({ distilled: true })).toEqual([24 * 5, 24 * 5, 11 * 2 * 24 * 96]);
  expect(costs({ pooling: 'token-and-mean', registers: 4 })).toEqual([
    48 * 5,
    undefined,
    14 * 2 * 24 * 96,
  ]);
});
