// How many parameters a model will have, from its configuration alone: before anything is made.
import { type MambaConfig, dtRankGroup, mlpGroup, ssmGroup, stateGroup } from './config.js';
import {
  type ResNetConfig,
  blockName,
  expansions,
  innerConvs,
  stageWidth,
} from './resnet-config.js';
import { type VitConfig, attentionGroup } from './vit-config.js';

export type AnyConfig = MambaConfig | VitConfig | ResNetConfig;

/** The same as `numParameters()` of the model. */
export function countParameters(config: AnyConfig): number {
  if (config.family === 'mamba') return countMamba(config);
  return config.family === 'vit' ? countVit(config) : countResNet(config);
}

const linear = (from: number, to: number, bias = true): number => from * to + (bias ? to : 0);

const mlp = (width: number, hidden: number): number =>
  linear(width, hidden) + linear(hidden, width);

/** Projection, positions of the tokens, last norm and classifier of the models that see patches. */
function aroundBlocks(config: MambaConfig | VitConfig, tokens: number): number {
  const { channels, dModel, patchSize, numClasses } = config;
  return (
    linear(channels * patchSize ** 2, dModel) +
    tokens * dModel +
    2 * dModel +
    linear(dModel, numClasses)
  );
}

function countMamba(config: MambaConfig): number {
  const { dModel, depth, dConv, imageSize, patchSize, scan, widths } = config;
  let sum = aroundBlocks(config, (imageSize / patchSize) ** 2);
  for (let block = 0; block < depth; block++) {
    const inner = widths[ssmGroup(block)] ?? 0;
    const states = widths[stateGroup(block)] ?? config.dState;
    const rank = widths[dtRankGroup(block)] ?? config.dtRank;
    const direction =
      inner * (dConv + 1) + // conv1d
      linear(inner, rank + 2 * states, false) +
      linear(rank, inner) +
      inner * (states + 1); // A_log and D
    sum +=
      4 * dModel + // two norms
      linear(dModel, 2 * inner, false) +
      linear(inner, dModel, false) +
      direction * (scan === 'bi' ? 2 : 1) +
      mlp(dModel, widths[mlpGroup(block)] ?? 0);
  }
  return sum;
}

function countVit(config: VitConfig): number {
  const { dModel, depth, headDim, imageSize, patchSize, widths } = config;
  // The class token has a position too.
  let sum = aroundBlocks(config, (imageSize / patchSize) ** 2 + 2);
  for (let block = 0; block < depth; block++) {
    const inner = (widths[attentionGroup(block)] ?? 0) * headDim;
    sum +=
      4 * dModel +
      linear(dModel, 3 * inner) +
      linear(inner, dModel) +
      mlp(dModel, widths[mlpGroup(block)] ?? 0);
  }
  return sum;
}

function countResNet(config: ResNetConfig): number {
  const { block, blocks, baseWidth, stem, channels, numClasses, widths } = config;
  /** Weights without a bias, and the two parameters of the norm. */
  const conv = (from: number, to: number, kernel: number): number =>
    from * to * kernel ** 2 + 2 * to;
  const kernels = block === 'basic' ? [3, 3] : [1, 3, 1];
  let sum = conv(channels, baseWidth, stem === 'cifar' ? 3 : 7);
  let from = baseWidth;
  blocks.forEach((count, stage) => {
    const out = stageWidth(baseWidth, stage) * expansions[block];
    for (let index = 0; index < count; index++) {
      const name = blockName(stage, index);
      const inner = innerConvs[block].map((part) => widths[`${name}.${part}`] ?? 0);
      const path = [from, ...inner, out];
      kernels.forEach((kernel, i) => (sum += conv(path[i] ?? 0, path[i + 1] ?? 0, kernel)));
      if ((stage > 0 && index === 0) || from !== out) sum += conv(from, out, 1);
      from = out;
    }
  });
  return sum + linear(from, numClasses);
}
