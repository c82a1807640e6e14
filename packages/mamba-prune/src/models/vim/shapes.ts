// Shapes of the tensors of a Vim.
import type { ModelShapes } from '../family.js';
import { ssmShapes } from '../layers/ssm-shapes.js';
import { type NamedShape, linear, widthIn } from '../shapes.js';
import { type VimConfig, dtRankGroup, patchCount, ssmGroup, stateGroup } from './config.js';

export function vimShapes(config: VimConfig): ModelShapes {
  const { dModel, patchSize, channels, numClasses } = config;
  const layers = Array.from({ length: config.depth }, (_, layer) => layer).flatMap(
    (layer): NamedShape[] => {
      const sizes = {
        dModel,
        dInner: widthIn(config, ssmGroup(layer)),
        dState: config.widths[stateGroup(layer)] ?? config.dState,
        dConv: config.dConv,
        dtRank: config.widths[dtRankGroup(layer)] ?? config.dtRank,
      };
      return [
        [`layers.${layer}.norm.weight`, [dModel]],
        ...ssmShapes(`layers.${layer}.mixer`, sizes, true),
      ];
    },
  );
  return new Map([
    ['cls_token', [1, 1, dModel]],
    ['pos_embed', [1, patchCount(config) + 1, dModel]],
    ['patch_embed.proj.weight', [dModel, channels, patchSize, patchSize]],
    ['patch_embed.proj.bias', [dModel]],
    ...layers,
    ['norm_f.weight', [dModel]],
    ...linear('head', numClasses, dModel),
  ]);
}
