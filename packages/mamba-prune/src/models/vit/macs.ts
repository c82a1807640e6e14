// Multiply-accumulates of a vision transformer from its configuration alone: what `VisionTransformer.macs` counts, added up.
import { widthIn } from '../shapes.js';
import { type VitConfig, attentionGroup, headDimIn, prefixTokens } from './config.js';
import { vitShapes } from './shapes.js';

/** For one image; attention also counts q kᵀ and the weighted sum of v. */
export function vitMacs(config: VitConfig): number {
  const patches = (config.imageSize / config.patchSize) ** 2;
  const length = patches + prefixTokens(config);
  let total = 0;
  for (const [name, shape] of vitShapes(config)) {
    if (!name.endsWith('.weight') || shape.length < 2) continue;
    const numel = shape.reduce((product, size) => product * size, 1);
    const times = name.startsWith('head') ? 1 : name.startsWith('patch_embed') ? patches : length;
    total += times * numel;
  }
  for (let block = 0; block < config.depth; block++) {
    const inner = widthIn(config, attentionGroup(block)) * headDimIn(config, block);
    total += 2 * length * length * inner;
  }
  return total;
}
