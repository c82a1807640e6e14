// Shapes of the tensors of a vision Mamba.
import type { ModelShapes } from '../family.js';
import { type NamedShape, layerNorm, linear, widthIn } from '../shapes.js';
import { ssmShapes } from '../layers/ssm-shapes.js';
import { type MambaConfig, dtRankGroup, mlpGroup, ssmGroup, stateGroup } from './config.js';

export function mambaShapes(config: MambaConfig): ModelShapes {
  const { dModel, patchSize, imageSize, channels, numClasses, scan } = config;
  const blocks = Array.from({ length: config.depth }, (_, block) => block).flatMap(
    (block): NamedShape[] => {
      const sizes = {
        dModel,
        dInner: widthIn(config, ssmGroup(block)),
        dState: config.widths[stateGroup(block)] ?? config.dState,
        dConv: config.dConv,
        dtRank: config.widths[dtRankGroup(block)] ?? config.dtRank,
      };
      const hidden = widthIn(config, mlpGroup(block));
      return [
        ...layerNorm(`blocks.${block}.norm1`, dModel),
        ...ssmShapes(`blocks.${block}.ssm`, sizes, scan === 'bi'),
        ...layerNorm(`blocks.${block}.norm2`, dModel),
        ...linear(`blocks.${block}.mlp.0`, hidden, dModel),
        ...linear(`blocks.${block}.mlp.2`, dModel, hidden),
      ];
    },
  );
  return new Map([
    ['pos_embed', [1, (imageSize / patchSize) ** 2, dModel]],
    ['patch_embed.weight', [dModel, channels, patchSize, patchSize]],
    ['patch_embed.bias', [dModel]],
    ...blocks,
    ...layerNorm('norm', dModel),
    ...linear('head', numClasses, dModel),
  ]);
}
