// Shapes of the tensors of a vision transformer.
import type { ModelShapes } from '../family.js';
import { type NamedShape, layerNorm, linear, widthIn } from '../shapes.js';
import {
  type VitConfig,
  attentionGroup,
  headDimIn,
  mlpGroup,
  pooledWidth,
  prefixTokens,
} from './config.js';

export function vitShapes(config: VitConfig): ModelShapes {
  const { dModel, patchSize, imageSize, channels, numClasses } = config;
  const { classToken = true, distilled = false, registers = 0 } = config;
  const blocks = Array.from({ length: config.depth }, (_, block) => block).flatMap(
    (block): NamedShape[] => {
      const inner = widthIn(config, attentionGroup(block)) * headDimIn(config, block);
      const hidden = widthIn(config, mlpGroup(block));
      return [
        ...layerNorm(`blocks.${block}.norm1`, dModel),
        ...linear(`blocks.${block}.attn.qkv`, 3 * inner, dModel),
        ...linear(`blocks.${block}.attn.proj`, dModel, inner),
        ...layerNorm(`blocks.${block}.norm2`, dModel),
        ...linear(`blocks.${block}.mlp.fc1`, hidden, dModel),
        ...linear(`blocks.${block}.mlp.fc2`, dModel, hidden),
      ];
    },
  );
  const token = (name: string, count: number): NamedShape => [name, [1, count, dModel]];
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
