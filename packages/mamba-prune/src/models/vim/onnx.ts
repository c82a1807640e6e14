// Vim as a graph; model.ts is what it computes.
import type { ScanOp } from '../../onnx/choices.js';
import type { Value } from '../../onnx/graph-builder.js';
import type { Layers } from '../../onnx/layers.js';
import { Layout } from '../../onnx/layout.js';
import { add, cast, gather, ints, reshape, select } from '../../onnx/operators.js';
import { ssmGraph } from '../layers/ssm-onnx.js';
import { rmsNormGraph } from '../layers/rms-norm-onnx.js';
import { type VimConfig, middleOf, normEps, patchCount } from './config.js';

/** @param image - normalised, [batch, channels, side, side]; @returns logits */
export function vimGraph(config: VimConfig, layers: Layers, image: Value, scanOp: ScanOp): Value {
  const { g } = layers;
  const layout = new Layout(g, image, scanOp === 'linear-attention' ? 'batch' : 'length');
  const middle = middleOf(patchCount(config));
  // The residual stream stays in float32.
  let x = cast(g, embedding(config, layers, image, layout), 'float32');
  for (let layer = 0; layer < config.depth; layer++) {
    const here = layers.at(`layers.${layer}`);
    const normed = cast(
      here.g,
      rmsNormGraph(here.exact.at('norm'), x, normEps),
      layers.format.type,
    );
    const mixed = ssmGraph(here.at('mixer'), normed, layout, scanOp, { halved: true });
    x = add(here.g, x, cast(here.g, mixed, 'float32'));
  }
  const exact = layers.exact;
  const token = select(g, x, layout.axis, middle);
  return exact.linear('head', rmsNormGraph(exact.at('norm_f'), token, normEps));
}

/** The patches with the class token among them, and the positions, which are the same for every image. */
function embedding(config: VimConfig, layers: Layers, image: Value, layout: Layout): Value {
  const { g } = layers;
  const { dModel } = config;
  const count = patchCount(config);
  const grid = layers.at('patch_embed').conv2d('proj', image);
  const patches = layout.fromChannels(g, reshape(g, grid, [layout.batch, dModel, count]));
  // A row of zeros behind the patches goes to the middle of them, and gets the token with its position.
  const ends = [0, 1, 2].map((axis) => (axis === layout.axis ? 1 : 0));
  const padded = g.node('Pad', [patches, ints(g, 'pads', [0, 0, 0, ...ends])], {
    type: patches.type,
    shape: patches.shape.with(layout.axis, count + 1),
  });
  const middle = middleOf(count);
  const from = Array.from({ length: count + 1 }, (_, token) =>
    token < middle ? token : token === middle ? count : token - 1,
  );
  const tokens = gather(g, padded, layout.axis, from, { name: 'tokens' });
  const data = start(layers, middle * dModel);
  const shape = layout.constantShape(count + 1, dModel);
  return add(g, tokens, layers.constant('pos_embed', { data, shape }));
}

/** Positions plus the class token, which begins at `offset`. */
function start(layers: Layers, offset: number): Float32Array {
  const token = layers.weight('cls_token').data;
  return layers.weight('pos_embed').data.map((value, i) => value + (token[i - offset] ?? 0));
}
