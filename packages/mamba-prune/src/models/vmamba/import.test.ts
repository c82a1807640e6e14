// VMamba's published checkpoints: fixtures/checkpoint.pth was written by that project's trainer with random weights, and
// fixtures/io.safetensors has images and the logits that its code computes of them in float64.
import { FormatError, type Tensor, setNumThreads, zeros } from '@mamba-prune/libtorch';
import { describe, expect, it } from 'vitest';
import { importModel, importStateDict } from '../import/model.js';
import { denseConfig } from '../dense-config.js';
import { createModel, createModelFromConfig, modelShapes } from '../registry.js';
import { countParameters } from '../shapes.js';
import { relativeDifference } from '../testing/parity.js';
import { publishedCase, run } from '../testing/published-case.js';
import type { VMambaConfig } from './config.js';

setNumThreads(1);

const { checkpoint, expected, fullSize } = publishedCase('vmamba');

const small = {
  arch: 'vmamba_small',
  baseWidth: 4,
  blocks: [1, 1, 2, 1],
  imageSize: 64,
} as const;

describe("a checkpoint of VMamba's trainer", () => {
  it('is read from the average of its weights first, and from the weights by their key', async () => {
    const averaged = await importModel(checkpoint, small);
    const plain = await importModel(checkpoint, { ...small, key: 'model' });
    expect(averaged.notes.join(' ')).toMatch(/Took the weights at "model_ema"/);
    const images = expected('images');
    // float32 adds up some hundred terms in each of five blocks.
    expect(
      relativeDifference(run(averaged.model, images), expected('logits_ema_f64')),
    ).toBeLessThan(1e-5);
    expect(relativeDifference(run(plain.model, images), expected('logits_f64'))).toBeLessThan(1e-5);
    expect(
      relativeDifference(run(plain.model, images), expected('logits_ema_f64')),
    ).toBeGreaterThan(1e-2);
    // As images are prepared for the published weights by name.
    expect(plain.assumed).toEqual([
      'stemStride 4',
      'mean 0.485/0.456/0.406',
      'std 0.229/0.224/0.225',
      'interpolation bicubic',
      'cropShare 0.875',
    ]);
  });

  it('computes in float64 what the published code does', async () => {
    const { model } = await importModel(checkpoint, { ...small, key: 'model' });
    model.to('float64');
    const logits = run(model, expected('images').to('float64'));
    // The same operations in another order, 1e-16 each.
    expect(relativeDifference(logits, expected('logits_f64'))).toBeLessThan(1e-12);
  });

  it('reads sizes of no published one under the name of the closest, and says so', async () => {
    const { model, notes } = await importModel(checkpoint);
    expect(model.config).toMatchObject({ arch: 'vmamba_tiny', baseWidth: 4, blocks: [1, 1, 2, 1] });
    expect(notes.join(' ')).toMatch(
      /called vmamba_tiny, and has `baseWidth` 4 and `blocks` 1,1,2,1/,
    );
    model.dispose();
  });
});

describe('the full size', () => {
  it('has the names and shapes of the published vmamba_tiny, with nothing allocated', () => {
    const shapes = modelShapes(denseConfig('vmamba_tiny', { numClasses: 1000 }));
    expect(Object.fromEntries(shapes)).toEqual(fullSize.shapes);
    expect(countParameters(shapes)).toBe(fullSize.parameters);
    expect(fullSize.parameters).toBe(30_249_064);
  });
});

describe('a state dict', () => {
  const config = createModel('vmamba_nano', { baseWidth: 8, blocks: [1, 1] }).config;
  const model = createModelFromConfig(config).eval();
  const options = { arch: 'vmamba_nano', baseWidth: 8, blocks: [1, 1], imageSize: 32 } as const;
  const changed = (change: (tensors: Map<string, Tensor>) => void): Map<string, Tensor> => {
    const tensors = new Map(model.stateDict());
    change(tensors);
    return tensors;
  };
  const block = 'layers.0.blocks.0';

  it('may have its linear layers as convolutions of kernel 1', () => {
    const tensors = changed((all) => {
      for (const [name, tensor] of all) {
        if (/\.(?:in_proj|out_proj|fc1|fc2)\.weight$/.test(name)) {
          all.set(name, tensor.detach().reshape(...tensor.shape, 1, 1));
        }
      }
    });
    const read = importStateDict(tensors, options);
    expect(read.notes.join(' ')).toMatch(/8 weights of linear layers were stored as convolutions/);
    const images = zeros([1, 3, 32, 32]).add(0.5);
    expect(run(read.model, images).equal(run(model, images))).toBe(true);
  });

  it('tells ranks of the step sizes that are not the usual ones', () => {
    const tensors = changed((all) => {
      all.set(`${block}.op.dt_projs_weight`, zeros([4, 8, 3]));
      all.set(`${block}.op.x_proj_weight`, zeros([4, 5, 8]));
    });
    const { config: read } = importStateDict(tensors, options).model;
    expect((read as VMambaConfig).dtRanks).toEqual([3, 1]);
  });

  it.each([
    ['a gate', 'op.in_proj.weight', [16, 8], /16 rows for 8 columns.*makes a gate/],
    ['a bias of the convolution', 'op.conv2d.bias', [8], /with a bias of the convolution/],
    ['a bias of a projection', 'op.in_proj.bias', [8], /with biases/],
    ['another norm', 'op.out_norm.0.weight', [8], /more than a LayerNorm/],
    ['two scans', 'op.x_proj_weight', [2, 3, 8], /of 2 scans, expected 4/],
    ['an MLP with a gate', 'mlp.fc1.weight', [64, 8], /64 rows for 32 columns.*gmlp/],
    ['the first version', 'self_attention.A_logs', [32, 1], /of the first version/],
  ])('with %s is refused', (_, name, shape, message) => {
    const tensors = changed((all) => {
      all.set(`${block}.${name}`, zeros(shape));
    });
    const read = () => importStateDict(tensors, options);
    expect(read).toThrow(FormatError);
    expect(read).toThrow(message);
  });

  it('without the second convolution of the stem is refused', () => {
    const tensors = changed((all) => {
      all.delete('patch_embed.5.weight');
    });
    expect(() => importStateDict(tensors, options)).toThrow(/two 3x3 convolutions/);
  });
});
