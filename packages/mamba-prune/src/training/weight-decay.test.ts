/** Which parameters weight decay shrinks, in every architecture and under every optimizer. */
import { noGrad, optim, scope, zerosLike } from '@mamba-prune/libtorch';
import { describe, expect, it } from 'vitest';
import { modelNames } from '../models/families.js';
import { createModel } from '../models/registry.js';
import type { ModelOptions } from '../models/model-options.js';
import type { ImageModel } from '../models/image-model.js';
import { resolveTrainOptions } from './options.js';
import { makeOptimizer } from './step-parts.js';

const small = { imageSize: 8, numClasses: 3 } as const;
const familyOptions: Record<string, ModelOptions> = {
  mamba: { dModel: 8, depth: 1, patchSize: 4 },
  vit: { dModel: 8, depth: 1, heads: 2 },
  resnet: { baseWidth: 2, blocks: [1, 1] },
  vim: { dModel: 8, depth: 1, imageSize: 8, patchSize: 4 },
  vmamba: { baseWidth: 2, blocks: [1, 1] },
};

function make(arch: string, more: ModelOptions = {}): ImageModel {
  const family = Object.keys(familyOptions).find((name) => arch.startsWith(name)) as string;
  return createModel(arch, { ...small, ...familyOptions[family], ...more });
}

const optimizers = ['adamw', 'sgd', 'muon'] as const;

function optimizerOf(model: ImageModel, optimizer: (typeof optimizers)[number]): optim.Optimizer {
  const options = { optimizer, epochs: 1, batchSize: 1, lr: 0.1, weightDecay: 0.5, momentum: 0 };
  return makeOptimizer(model, resolveTrainOptions(options, { height: 8, width: 8 }));
}

/** The names of those that a step without gradients shrinks. */
function decayed(model: ImageModel, optimizer: (typeof optimizers)[number]): string[] {
  return scope(() => {
    const parameters = model.namedParameters();
    noGrad(() => {
      for (const parameter of parameters.values()) {
        parameter.fill_(1);
        parameter.grad = zerosLike(parameter);
      }
    });
    const made = optimizerOf(model, optimizer);
    made.step();
    made.dispose();
    return Array.from(parameters)
      .filter(([, parameter]) => parameter.min().item() !== 1)
      .map(([name]) => name);
  });
}

const mamba = [
  'patch_embed.weight',
  'blocks.0.ssm.in_proj.weight',
  'blocks.0.ssm.conv1d.weight',
  'blocks.0.ssm.x_proj.weight',
  'blocks.0.ssm.dt_proj.weight',
];
const mambaEnd = [
  'blocks.0.ssm.out_proj.weight',
  'blocks.0.mlp.0.weight',
  'blocks.0.mlp.2.weight',
  'head.weight',
];
const expected: Record<string, string[]> = {
  uni: [...mamba, ...mambaEnd],
  cross: [...mamba, ...mambaEnd],
  bi: [
    ...mamba,
    'blocks.0.ssm.conv1d_b.weight',
    'blocks.0.ssm.x_proj_b.weight',
    'blocks.0.ssm.dt_proj_b.weight',
    ...mambaEnd,
  ],
  vit: [
    'patch_embed.proj.weight',
    'blocks.0.attn.qkv.weight',
    'blocks.0.attn.proj.weight',
    'blocks.0.mlp.fc1.weight',
    'blocks.0.mlp.fc2.weight',
    'head.weight',
  ],
  basic: [
    'conv1.weight',
    'layer1.0.conv1.weight',
    'layer1.0.conv2.weight',
    'layer2.0.conv1.weight',
    'layer2.0.conv2.weight',
    'layer2.0.downsample.0.weight',
    'fc.weight',
  ],
  vim: [
    'patch_embed.proj.weight',
    ...[
      'in_proj',
      'conv1d',
      'x_proj',
      'dt_proj',
      'conv1d_b',
      'x_proj_b',
      'dt_proj_b',
      'out_proj',
    ].map((name) => `layers.0.mixer.${name}.weight`),
    'head.weight',
  ],
  vmamba: [
    'patch_embed.0.weight',
    'patch_embed.5.weight',
    ...['layers.0.blocks.0', 'layers.1.blocks.0'].flatMap((block) => [
      ...['x_proj_weight', 'dt_projs_weight', 'conv2d.weight'].map((name) => `${block}.op.${name}`),
      ...['op.in_proj', 'op.out_proj', 'mlp.fc1', 'mlp.fc2'].map(
        (name) => `${block}.${name}.weight`,
      ),
    ]),
    'layers.0.downsample.1.weight',
    'classifier.head.weight',
  ],
  bottleneck: [
    'conv1.weight',
    ...['layer1.0', 'layer2.0'].flatMap((block) =>
      ['conv1', 'conv2', 'conv3', 'downsample.0'].map((name) => `${block}.${name}.weight`),
    ),
    'fc.weight',
  ],
};

const cases = modelNames().flatMap((arch): [string, string, ModelOptions][] => {
  if (arch.startsWith('mamba')) {
    return (['uni', 'bi', 'cross'] as const).map((scan) => [`${arch}, ${scan}`, arch, { scan }]);
  }
  return [[arch, arch, {}]];
});

const keyOf = (arch: string, { scan }: ModelOptions): string => {
  if (scan) return scan;
  if (arch.startsWith('vit')) return 'vit';
  if (arch.startsWith('vim')) return 'vim';
  if (arch.startsWith('vmamba')) return 'vmamba';
  return /^resnet(50|101|152)$/.test(arch) ? 'bottleneck' : 'basic';
};

describe.each(cases)('%s', (_, arch, options) => {
  it.each(optimizers)('decays the weights of layers and nothing else under %s', (optimizer) => {
    const model = make(arch, options);
    expect(decayed(model, optimizer).sort()).toEqual(
      [...(expected[keyOf(arch, options)] ?? [])].sort(),
    );
    model.dispose();
  });

  it('has every parameter in one group of each optimizer', () => {
    const model = make(arch, options);
    const all = new Set(model.parameters());
    for (const optimizer of optimizers) {
      const { groups } = optimizerOf(model, optimizer);
      const params = groups.flatMap((group) => group.params);
      expect(params).toHaveLength(all.size);
      expect(new Set(params)).toEqual(all);
    }
    model.dispose();
  });

  it('orthogonalises the steps of matrices between the first layer and the last', () => {
    const model = make(arch, options);
    const names = new Map(Array.from(model.namedParameters(), ([name, tensor]) => [tensor, name]));
    const matrices = optimizerOf(model, 'muon')
      .groups.filter(({ orthogonalize }) => orthogonalize)
      .flatMap(({ params }) => params.map((param) => names.get(param) as string));
    // Stacks of four matrices, and filters of one channel each, are none either.
    const ends = /^(patch_embed(?!\.5)|conv1|head|fc|classifier)\b|conv1d|conv2d|_weight$/;
    const inside = (expected[keyOf(arch, options)] ?? []).filter((name) => !ends.test(name));
    expect(matrices.sort()).toEqual(inside.sort());
    model.dispose();
  });
});

describe('names without weight decay', () => {
  it('are those that timm and the authors of Mamba spare', () => {
    expect(optim.noDecayNames).toEqual([
      'A_log',
      'D',
      'A_b_log',
      'D_b',
      'A_logs',
      'Ds',
      'dt_projs_bias',
      'pos_embed',
      'cls_token',
      'dist_token',
      'reg_token',
      'cls_token_head',
      'cls_token_tail',
    ]);
  });
});
