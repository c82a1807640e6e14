// Shapes of the tensors of a vision Mamba.
import type { ModelShapes } from '../family.js';
import { type NamedShape, layerNorm, linear, widthIn } from '../shapes.js';
import { type MambaConfig, dtRankGroup, mlpGroup, ssmGroup, stateGroup } from './config.js';

export function mambaShapes(config: MambaConfig): ModelShapes {
  const { dModel, patchSize, imageSize, channels, numClasses, scan } = config;
  const blocks = Array.from({ length: config.depth }, (_, block) => block).flatMap(
    (block): NamedShape[] => {
      const ssm = `blocks.${block}.ssm`;
      const inner = widthIn(config, ssmGroup(block));
      const hidden = widthIn(config, mlpGroup(block));
      const states = config.widths[stateGroup(block)] ?? config.dState;
      const rank = config.widths[dtRankGroup(block)] ?? config.dtRank;
      // `_b` is the second direction.
      const direction = (suffix: string): NamedShape[] => [
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
