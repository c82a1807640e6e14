// Shapes of every tensor of a model, from its configuration alone: what a file says of itself is compared
// with its tensors before anything is allocated. Tests hold them against the models.
import { type MambaConfig, dtRankGroup, mlpGroup, ssmGroup, stateGroup } from './mamba/config.js';
import {
  type ResNetConfig,
  blockName,
  expansions,
  innerConvs,
  stageWidth,
} from './resnet/config.js';
import {
  type VitConfig,
  attentionGroup,
  headDimIn,
  pooledWidth,
  prefixTokens,
} from './vit/config.js';

type Entry = [name: string, shape: readonly number[]];

export type AnyConfig = MambaConfig | VitConfig | ResNetConfig;

/** Shape of every tensor by name. */
export type ModelShapes = Map<string, readonly number[]>;

const linear = (name: string, to: number, from: number): Entry[] => [
  [`${name}.weight`, [to, from]],
  [`${name}.bias`, [to]],
];

const layerNorm = (name: string, width: number): Entry[] => [
  [`${name}.weight`, [width]],
  [`${name}.bias`, [width]],
];

const batchNorm = (name: string, width: number): Entry[] => [
  ...layerNorm(name, width),
  [`${name}.running_mean`, [width]],
  [`${name}.running_var`, [width]],
  [`${name}.num_batches_tracked`, []],
];

const width = ({ widths }: { readonly widths: Readonly<Record<string, number>> }, group: string) =>
  widths[group] ?? 0;

const blocksOf = ({ depth }: { readonly depth: number }): number[] =>
  Array.from({ length: depth }, (_, block) => block);

/** Of every tensor, buffers included. */
export function shapesOf(config: AnyConfig): ModelShapes {
  if (config.family === 'mamba') return mambaShapes(config);
  return config.family === 'vit' ? vitShapes(config) : resnetShapes(config);
}

/** The same as `numParameters()` of the model. */
export function countParameters(config: AnyConfig): number {
  let sum = 0;
  for (const [name, shape] of shapesOf(config)) {
    if (!isBuffer(name)) sum += shape.reduce((product, size) => product * size, 1);
  }
  return sum;
}

/** The statistics of BatchNorm. */
const isBuffer = (name: string): boolean =>
  /\.(running_mean|running_var|num_batches_tracked)$/.test(name);

function mambaShapes(config: MambaConfig): ModelShapes {
  const { dModel, patchSize, imageSize, channels, numClasses, scan } = config;
  const blocks = blocksOf(config).flatMap((block): Entry[] => {
    const ssm = `blocks.${block}.ssm`;
    const inner = width(config, ssmGroup(block));
    const hidden = width(config, mlpGroup(block));
    const states = config.widths[stateGroup(block)] ?? config.dState;
    const rank = config.widths[dtRankGroup(block)] ?? config.dtRank;
    // `_b` is the second direction.
    const direction = (suffix: string): Entry[] => [
      [`${ssm}.A${suffix}_log`, [inner, states]],
      [`${ssm}.D${suffix}`, [inner]],
      [`${ssm}.conv1d${suffix}.weight`, [inner, 1, config.dConv]],
      [`${ssm}.conv1d${suffix}.bias`, [inner]],
      [`${ssm}.x_proj${suffix}.weight`, [rank + 2 * states, inner]],
      ...linear(`${ssm}.dt_proj${suffix}`, inner, rank),
    ];
    return [
      ...layerNorm(`blocks.${block}.norm1`, dModel),
      [`${ssm}.in_proj.weight`, [2 * inner, dModel]],
      ...direction(''),
      ...(scan === 'bi' ? direction('_b') : []),
      [`${ssm}.out_proj.weight`, [dModel, inner]],
      ...layerNorm(`blocks.${block}.norm2`, dModel),
      ...linear(`blocks.${block}.mlp.0`, hidden, dModel),
      ...linear(`blocks.${block}.mlp.2`, dModel, hidden),
    ];
  });
  return new Map([
    ['pos_embed', [1, (imageSize / patchSize) ** 2, dModel]],
    ['patch_embed.weight', [dModel, channels, patchSize, patchSize]],
    ['patch_embed.bias', [dModel]],
    ...blocks,
    ...layerNorm('norm', dModel),
    ...linear('head', numClasses, dModel),
  ]);
}

function vitShapes(config: VitConfig): ModelShapes {
  const { dModel, patchSize, imageSize, channels, numClasses } = config;
  const { classToken = true, distilled = false, registers = 0 } = config;
  const blocks = blocksOf(config).flatMap((block): Entry[] => {
    const inner = width(config, attentionGroup(block)) * headDimIn(config, block);
    const hidden = width(config, mlpGroup(block));
    return [
      ...layerNorm(`blocks.${block}.norm1`, dModel),
      ...linear(`blocks.${block}.attn.qkv`, 3 * inner, dModel),
      ...linear(`blocks.${block}.attn.proj`, dModel, inner),
      ...layerNorm(`blocks.${block}.norm2`, dModel),
      ...linear(`blocks.${block}.mlp.fc1`, hidden, dModel),
      ...linear(`blocks.${block}.mlp.fc2`, dModel, hidden),
    ];
  });
  const token = (name: string, count: number): Entry => [name, [1, count, dModel]];
  return new Map([
    ...(classToken ? [token('cls_token', 1)] : []),
    ...(distilled ? [token('dist_token', 1)] : []),
    ...(registers > 0 ? [token('reg_token', registers)] : []),
    token('pos_embed', (imageSize / patchSize) ** 2 + prefixTokens(config)),
    ['patch_embed.proj.weight', [dModel, channels, patchSize, patchSize]],
    ['patch_embed.proj.bias', [dModel]],
    ...blocks,
    ...layerNorm('norm', dModel),
    ...linear('head', numClasses, pooledWidth(config)),
    ...(distilled ? linear('head_dist', numClasses, pooledWidth(config)) : []),
  ]);
}

function resnetShapes(config: ResNetConfig): ModelShapes {
  const { block, blocks, baseWidth, stem, channels, numClasses } = config;
  const kernels = block === 'basic' ? [3, 3] : [1, 3, 1];
  const kernel = stem === 'cifar' ? 3 : 7;
  let from = baseWidth;
  const layers = blocks.flatMap((count, stage) => {
    const to = stageWidth(baseWidth, stage) * expansions[block];
    return Array.from({ length: count }, (_, index): Entry[] => {
      const name = blockName(stage, index);
      const inner = innerConvs[block].map((conv) => width(config, `${name}.${conv}`));
      const channelsAfter = [...inner, to];
      const own = channelsAfter.flatMap((after, i): Entry[] => [
        [
          `${name}.conv${i + 1}.weight`,
          [after, channelsAfter[i - 1] ?? from, kernels[i] ?? 0, kernels[i] ?? 0],
        ],
        ...batchNorm(`${name}.bn${i + 1}`, after),
      ]);
      const changes = (stage > 0 && index === 0) || from !== to;
      const shortcut: Entry[] = changes
        ? [
            [`${name}.downsample.0.weight`, [to, from, 1, 1]],
            ...batchNorm(`${name}.downsample.1`, to),
          ]
        : [];
      from = to;
      return [...own, ...shortcut];
    }).flat();
  });
  return new Map([
    ['conv1.weight', [baseWidth, channels, kernel, kernel]],
    ...batchNorm('bn1', baseWidth),
    ...layers,
    ...linear('fc', numClasses, from),
  ]);
}
