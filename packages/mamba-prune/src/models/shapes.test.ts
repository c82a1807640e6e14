import { describe, expect, it } from 'vitest';
import type { ModelOptions } from './model-options.js';
import { createModel, createModelFromConfig, modelShapes, parametersOf } from './registry.js';

const cases: [arch: string, options: ModelOptions, widths: Record<string, number>][] = [
  ['mamba_nano', { depth: 2, imageSize: 16 }, { 'blocks.1.ssm': 5, 'blocks.0.mlp': 7 }],
  [
    'mamba_nano',
    { depth: 1, scan: 'bi', dConv: 3 },
    { 'blocks.0.state': 3, 'blocks.0.dt_rank': 2 },
  ],
  ['mamba_nano', { depth: 2, scan: 'cross', channels: 1, numClasses: 3 }, {}],
  ['vit_tiny', { depth: 2, dModel: 24, heads: 4 }, { 'blocks.0.attn': 2, 'blocks.1.mlp': 9 }],
  ['resnet20', { blocks: [2, 1, 1], baseWidth: 4 }, { 'layer2.0.conv1': 3 }],
  ['resnet18', { imageSize: 224, baseWidth: 4, blocks: [1, 1] }, {}],
  ['resnet50', { baseWidth: 2, blocks: [2, 1], numClasses: 7 }, { 'layer1.0.conv2': 1 }],
];

describe('shapes from a configuration', () => {
  it.each(cases)('are those of a %s with %j and widths %j', (arch, options, widths) => {
    const dense = createModel(arch, options);
    const config = { ...dense.config, widths: { ...dense.config.widths, ...widths } };
    const model = createModelFromConfig(config);
    const real = Array.from(model.stateDict(), ([name, { shape }]) => [name, [...shape]]);
    expect([...modelShapes(model.config)].sort()).toEqual(real.sort());
    // Without the statistics of batch normalisation, which are no parameters.
    expect(parametersOf(model.config)).toBe(model.numParameters());
    dense.dispose();
    model.dispose();
  });
});
