/** Every option of a model either makes one that runs, or is refused when the configuration is made. */
import { join } from 'node:path';
import { F, manualSeed, noGrad, randn, scope, tensor } from '@mamba-prune/libtorch';
import { describe, expect, it } from 'vitest';
import { exportOnnx } from '../export/export-onnx.js';
import { isUsageError } from '../errors.js';
import { temporaryFolder, toyInfo } from '../training/testing/toy.js';
import { modelInfoOf } from '../workflows/fit.js';
import type { ModelOptions } from './model-options.js';
import { createModel, createModelFromConfig } from './registry.js';
import { relativeDifference } from './testing/parity.js';

const small: Record<string, ModelOptions> = {
  mamba_nano: { dModel: 16, depth: 2, imageSize: 8, numClasses: 3 },
  vit_tiny: { dModel: 12, depth: 2, heads: 3, imageSize: 8, numClasses: 3 },
  resnet20: { baseWidth: 4, blocks: [1, 1], imageSize: 8, numClasses: 3 },
};

const runs: [string, ModelOptions][] = [
  ...[1, 2, 8, 9, 40].map((dConv): [string, ModelOptions] => ['mamba_nano', { dConv }]),
  ['mamba_nano', { dConv: 9, scan: 'bi' }],
  ['mamba_nano', { dConv: 12, scan: 'cross' }],
  ...[1, 33, 100].map((dState): [string, ModelOptions] => ['mamba_nano', { dState }]),
  ['mamba_nano', { expand: 1.5 }],
  ['mamba_nano', { expand: 1 / 16, mlpRatio: 0.25 }],
  ['mamba_nano', { expand: 1.1, dModel: 30 }],
  ['mamba_nano', { dModel: 1 }],
  ['mamba_nano', { patchSize: 8, scan: 'cross' }],
  ['mamba_nano', { imageSize: 1, patchSize: 1 }],
  ['mamba_nano', { dropPath: 0.99 }],
  ['mamba_nano', { numClasses: 1, channels: 5 }],
  ['vit_tiny', { heads: 12 }],
  ['vit_tiny', { heads: 1, mlpRatio: 0.25 }],
  ['vit_tiny', { patchSize: 8 }],
  ['resnet20', { imageSize: 1 }],
  ['resnet20', { blocks: [1], baseWidth: 1 }],
  ['resnet20', { stem: 'imagenet', imageSize: 3 }],
];

const nameOf = (arch: string, options: unknown): string => `${arch} ${JSON.stringify(options)}`;

describe('options that work', () => {
  it.each(runs.map(([arch, options]) => [nameOf(arch, options), arch, options] as const))(
    '%s trains, and computes the same without gradients',
    (_, arch, options) => {
      scope(() => {
        manualSeed(1);
        const model = createModel(arch, { ...small[arch], ...options });
        const { channels, imageSize, numClasses } = model.config;
        const images = randn([3, channels, imageSize, imageSize]);
        const labels = tensor([0, 0, numClasses - 1], { dtype: 'int64' });
        F.crossEntropy(model.forward(images), labels).backward();
        for (const [name, { grad }] of model.namedParameters()) {
          expect(Number.isFinite(grad?.abs().max().item()), name).toBe(true);
        }
        model.eval();
        const [fast, plain] = [noGrad(() => model.forward(images)), model.forward(images)];
        // Some tens of float32 roundings of 6e-8 over two blocks.
        expect(relativeDifference(fast, plain)).toBeLessThan(5e-6);
        model.dispose();
      });
    },
  );

  it('exports more taps than the kernel has to ONNX, which computes the same', async () => {
    const model = createModel('mamba_nano', { ...small.mamba_nano, channels: 1, dConv: 11 });
    model.eval();
    const folder = temporaryFolder();
    try {
      const path = join(folder.path, 'model.onnx');
      const { verification } = await exportOnnx(path, model, modelInfoOf(toyInfo, []));
      expect(verification?.agreement).toBe(1);
    } finally {
      folder.remove();
    }
  });
});

const refused: [string, object, RegExp][] = [
  ['mamba_nano', { dConv: 0 }, /dConv/],
  ['mamba_nano', { dConv: 2.5 }, /dConv/],
  ['mamba_nano', { dState: 0 }, /dState/],
  ['mamba_nano', { dState: 2 ** 21 }, /dState/],
  ['mamba_nano', { expand: 0 }, /expand: got 0, which makes 0/],
  ['mamba_nano', { expand: -1 }, /expand: got -1/],
  ['mamba_nano', { expand: 1.3 }, /expand: got 1.3, which makes 20.8 of a width of 16, expected/],
  ['mamba_nano', { expand: NaN }, /expand: got NaN/],
  ['mamba_nano', { expand: '2' }, /expand: got '2'/],
  ['mamba_nano', { mlpRatio: 0.01 }, /mlpRatio: got 0.01/],
  ['mamba_nano', { mlpRatio: Infinity }, /mlpRatio: got Infinity/],
  ['mamba_nano', { dModel: 0 }, /dModel/],
  ['mamba_nano', { dModel: 7.5 }, /dModel/],
  ['mamba_nano', { depth: 0 }, /depth: got 0/],
  ['mamba_nano', { depth: Infinity }, /depth: got Infinity/],
  ['mamba_nano', { depth: 1e9 }, /depth: got 1000000000/],
  ['mamba_nano', { depth: '2' }, /depth: got '2'/],
  ['mamba_nano', { patchSize: 3 }, /got patch size 3 for images of 8 px/],
  ['mamba_nano', { patchSize: 16 }, /got patch size 16 for images of 8 px/],
  ['mamba_nano', { imageSize: 0 }, /imageSize/],
  ['mamba_nano', { channels: 0 }, /channels/],
  ['mamba_nano', { numClasses: 0 }, /numClasses/],
  ['mamba_nano', { dropPath: 1 }, /dropPath/],
  ['mamba_nano', { dropPath: -0.1 }, /dropPath/],
  ['mamba_nano', { scan: 'both' }, /scan/],
  ['vit_tiny', { heads: 5 }, /got 5 heads for a width of 12/],
  ['vit_tiny', { heads: 0 }, /got 0 heads/],
  ['vit_tiny', { heads: 1.5 }, /got 1.5 heads/],
  ['vit_tiny', { heads: -3 }, /got -3 heads/],
  ['vit_tiny', { mlpRatio: 0 }, /mlpRatio: got 0/],
  ['vit_tiny', { depth: Infinity }, /depth: got Infinity/],
  ['vit_tiny', { patchSize: 5 }, /got patch size 5/],
  ['resnet20', { blocks: 3 }, /blocks: got 3, expected the number of blocks of each stage/],
  ['resnet20', { blocks: [] }, /blocks: got \[\]/],
  ['resnet20', { blocks: [1, 0] }, /blocks: got \[1,0\]/],
  ['resnet20', { blocks: [1e9] }, /blocks: got \[1000000000\]/],
  ['resnet20', { blocks: Array(13).fill(1) }, /expected .*: up to 12 stages of 1 to 1000 blocks/],
  ['resnet20', { baseWidth: 0 }, /baseWidth/],
  ['resnet20', { stem: 'large' }, /stem/],
  ['resnet20', { imageSize: 0 }, /imageSize/],
];

describe('options that cannot work', () => {
  it.each(
    refused.map(([arch, options, words]) => [nameOf(arch, options), arch, options, words] as const),
  )('%s is refused by name, before a tensor is made', (_, arch, options, words) => {
    const make = () => createModel(arch, { ...small[arch], ...options });
    expect(make).toThrow(words);
    let refusal: unknown;
    try {
      make();
    } catch (error) {
      refusal = error;
    }
    expect(isUsageError(refusal)).toBe(true);
  });

  it('refuses widths that a configuration has too many of, in every family', () => {
    for (const [arch, options] of Object.entries(small)) {
      const { config } = createModel(arch, options);
      const widths = { ...config.widths, 'blocks.9.sms': 3 };
      const wrong = { ...config, widths };
      expect(() => createModelFromConfig(wrong)).toThrow(
        'configuration: got widths with the width of blocks.9.sms, expected one for each of the groups',
      );
    }
    const { config } = createModel('mamba_nano', small.mamba_nano);
    const widths = { ...config.widths, 'blocks.0.state': 3, 'blocks.1.dt_rank': 1 };
    const narrower = { ...config, widths };
    const pruned = createModelFromConfig(narrower);
    expect(pruned.pruningGroups().find(({ name }) => name === 'blocks.0.state')?.size).toBe(3);
  });
});
