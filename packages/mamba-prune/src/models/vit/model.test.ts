import {
  F,
  type Tensor,
  manualSeed,
  noGrad,
  randn,
  setNumThreads,
  tensor,
} from '@mamba-prune/libtorch';
import { describe, expect, it } from 'vitest';
import { UsageError } from '../../errors.js';
import { createModel, createModelFromConfig, vitSmall, vitTiny } from '../registry.js';
import { goldenCase, relativeDifference, totalMacs } from '../testing/parity.js';
import { VisionTransformer } from './model.js';

// Tensors this small are done sooner than a second thread has begun.
setNumThreads(1);

const small = { dModel: 24, depth: 2, heads: 3, numClasses: 5, imageSize: 12 } as const;

describe('parity with PyTorch', () => {
  // Written by benchmarks/peers/torch_vit.py golden (PyTorch 1.13, one thread).
  const golden = goldenCase('vit.safetensors');
  const labels = tensor([0, 3, 4], { dtype: 'int64' });
  const build = (): VisionTransformer => {
    const model = vitTiny(small);
    model.loadStateDict(golden.part('weight.'));
    return model;
  };

  // float32 has 24 bits: one rounding is 6e-8. A forward pass of two blocks rounds a few hundred
  // times in sums of up to 96 terms, in another order than PyTorch's: 1e-5 leaves room for that and
  // is far below any wrong formula. Measured 4e-7, gradients 7e-7.
  it('gives the same logits and loss', () => {
    const logits = build().forward(golden.get('input'));
    expect(relativeDifference(logits, golden.get('logits'))).toBeLessThan(1e-5);
    expect(F.crossEntropy(logits, labels).item()).toBeCloseTo(golden.get('loss').item(), 5);
  });

  it('gives the same gradient for every parameter', () => {
    const model = build();
    F.crossEntropy(model.forward(golden.get('input')), labels).backward();
    const expected = golden.part('grad.');
    expect([...model.namedParameters().keys()]).toEqual([...expected.keys()]);
    for (const [name, parameter] of model.namedParameters()) {
      const [got, want] = [parameter.grad, expected.get(name)];
      if (!got || !want) throw new Error(`${name} has no gradient`);
      expect(relativeDifference(got, want), name).toBeLessThan(1e-5);
    }
  });
});

describe('VisionTransformer', () => {
  it('has the parameters and multiply-accumulates that the architectures are known for', () => {
    // timm's vit_tiny_patch16_224 and vit_small_patch16_224: 5.72 M and 22.05 M parameters.
    const imagenet = { imageSize: 224, patchSize: 16, numClasses: 1000 } as const;
    const tiny = vitTiny(imagenet);
    expect(tiny.numParameters()).toBe(5_717_416);
    expect(vitSmall(imagenet).numParameters()).toBe(22_050_664);
    // 196 patches of 16x16x3, 197 tokens; DeiT's paper gives 1.3 G.
    const block = 197 * 12 * 192 * 192 + 2 * 197 * 197 * 192;
    expect(totalMacs(tiny)).toBe(196 * 768 * 192 + 12 * block + 192 * 1000);
  });

  it('counts parameters and multiply-accumulates of a pruned model as a hand does', () => {
    const model = vitTiny({ ...small, depth: 1 }).withWidths({
      'blocks.0.attn': 2,
      'blocks.0.mlp': 10,
    });
    // Width 24, two heads of 8, ten neurons; 9 patches of 4x4x3 and the class token.
    const attention = 24 * 48 + 48 + (16 * 24 + 24);
    const mlp = 24 * 10 + 10 + (10 * 24 + 24);
    const rest = 24 + 10 * 24 + (48 * 24 + 24) + 3 * 2 * 24 + (24 * 5 + 5);
    expect(model.numParameters()).toBe(attention + mlp + rest);
    expect(model.macs()).toEqual([
      { name: 'patch_embed', macs: 9 * 48 * 24 },
      { name: 'blocks.0.attn', macs: 10 * (24 * 48 + 16 * 24) + 2 * 10 * 10 * 16 },
      { name: 'blocks.0.mlp', macs: 10 * 2 * 24 * 10 },
      { name: 'head', macs: 24 * 5 },
    ]);
  });

  it("starts with timm's values", () => {
    manualSeed(0);
    const state = vitTiny({ depth: 1 }).stateDict();
    const get = (name: string): Tensor => state.get(name) as Tensor;
    for (const name of ['blocks.0.attn.qkv.weight', 'blocks.0.mlp.fc2.weight', 'pos_embed']) {
      // The standard error over 12,000 values and more is 0.7%.
      expect(get(name).std().item() / 0.02, name).toBeCloseTo(1, 1);
    }
    for (const name of ['blocks.0.attn.qkv.bias', 'blocks.0.mlp.fc1.bias', 'head.bias']) {
      expect(get(name).abs().max().item(), name).toBe(0);
    }
    expect(get('cls_token').abs().max().item()).toBeLessThan(1e-5);
    // PyTorch's default: uniform within 1/sqrt(48).
    const patch = get('patch_embed.proj.weight').abs().max().item();
    expect(patch).toBeLessThanOrEqual(1 / Math.sqrt(48));
    expect(patch).toBeGreaterThan(0.14);
  });

  it('reads the class token, which sees the patches', () => {
    manualSeed(1);
    const model = vitTiny(small);
    const images = randn([1, 3, 12, 12]);
    const changed = images.clone();
    changed.select(2, 11).select(2, 11).add_(5); // one pixel of the last patch
    const a = noGrad(() => model.forward(images));
    const b = noGrad(() => model.forward(changed));
    expect(relativeDifference(b, a)).toBeGreaterThan(1e-6);
  });

  it('is rebuilt from its configuration, pruned too', () => {
    const model = vitTiny({ ...small, channels: 1 }).withWidths({ 'blocks.1.attn': 1 });
    const config = JSON.parse(JSON.stringify(model.config)) as typeof model.config;
    const again = createModelFromConfig(config);
    expect([...again.stateDict()].map(([name, t]) => [name, t.shape])).toEqual(
      [...model.stateDict()].map(([name, t]) => [name, t.shape]),
    );
    expect(model.config.headDim).toBe(8);
  });

  it('refuses options of other families by name', () => {
    expect(() => createModel('vit_tiny', { scan: 'bi', dState: 8 })).toThrow(
      /vit_tiny: got the option `scan`, `dState`, expected some of `patchSize`.*`heads`.*`numClasses`/,
    );
    expect(() => createModel('mamba_nano', { heads: 2 })).toThrow(UsageError);
    expect(createModel('vit_tiny', { ...small, scan: undefined }).config.arch).toBe('vit_tiny');
  });

  it('refuses sizes that do not fit together, and images of another size', () => {
    expect(() => vitTiny({ imageSize: 30 })).toThrow(/patch size 4.*30 px.*1, 2, 3, 5/);
    expect(() => vitTiny({ heads: 5 })).toThrow(/5 heads for a width of 192/);
    expect(() => vitTiny({ depth: 0 })).toThrow(UsageError);
    expect(() => vitTiny(small).forward(randn([1, 1, 28, 28]))).toThrow(
      /got images of shape \[1, 1, 28, 28\], expected \[batch, 3, 12, 12\]/,
    );
    const { config } = vitTiny(small);
    const widths = { 'blocks.0.mlp': 4, 'blocks.0.ssm': 4 };
    expect(() => createModelFromConfig({ ...config, widths } as typeof config)).toThrow(
      /without the width of blocks\.0\.attn, blocks\.1\.attn.*and with the width of blocks\.0\.ssm/,
    );
  });
});
