// Shapes of the tensors of a VMamba.
import type { ModelShapes } from '../family.js';
import { type NamedShape, layerNorm, linear, widthIn } from '../shapes.js';
import {
  type VMambaConfig,
  blockNames,
  dtRankOf,
  mlpGroup,
  ssmGroup,
  stageWidth,
} from './config.js';

const conv = (name: string, to: number, from: number): NamedShape[] => [
  [`${name}.weight`, [to, from, 3, 3]],
  [`${name}.bias`, [to]],
];

export function vmambaShapes(config: VMambaConfig): ModelShapes {
  const { baseWidth, blocks, dState, channels, numClasses } = config;
  const stem = baseWidth / 2;
  const last = blocks.length - 1;
  return new Map([
    ...conv('patch_embed.0', stem, channels),
    ...layerNorm('patch_embed.2', stem),
    ...conv('patch_embed.5', baseWidth, stem),
    ...layerNorm('patch_embed.7', baseWidth),
    ...blockNames(blocks).flatMap(({ name, stage }): NamedShape[] => {
      const width = stageWidth(baseWidth, stage);
      const inner = widthIn(config, ssmGroup(name));
      const hidden = widthIn(config, mlpGroup(name));
      const rank = dtRankOf(config, stage);
      return [
        ...layerNorm(`${name}.norm`, width),
        [`${name}.op.x_proj_weight`, [4, rank + 2 * dState, inner]],
        [`${name}.op.dt_projs_weight`, [4, inner, rank]],
        [`${name}.op.dt_projs_bias`, [4, inner]],
        [`${name}.op.A_logs`, [4 * inner, dState]],
        [`${name}.op.Ds`, [4 * inner]],
        [`${name}.op.in_proj.weight`, [inner, width]],
        [`${name}.op.conv2d.weight`, [inner, 1, 3, 3]],
        ...layerNorm(`${name}.op.out_norm`, inner),
        [`${name}.op.out_proj.weight`, [width, inner]],
        ...layerNorm(`${name}.norm2`, width),
        ...linear(`${name}.mlp.fc1`, hidden, width),
        ...linear(`${name}.mlp.fc2`, width, hidden),
      ];
    }),
    ...blocks.slice(1).flatMap((_, stage): NamedShape[] => {
      const [from, to] = [stageWidth(baseWidth, stage), stageWidth(baseWidth, stage + 1)];
      return [
        ...conv(`layers.${stage}.downsample.1`, to, from),
        ...layerNorm(`layers.${stage}.downsample.3`, to),
      ];
    }),
    ...layerNorm('classifier.norm', stageWidth(baseWidth, last)),
    ...linear('classifier.head', numClasses, stageWidth(baseWidth, last)),
  ]);
}
