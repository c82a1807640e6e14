// Vision Mamba as a graph; model.ts is what it computes.
import type { F } from '@mamba-prune/libtorch';
import type { MambaConfig } from './config.js';
import { reorderBefore } from './scan-order.js';
import type { ScanOp } from '../../onnx/choices.js';
import type { GraphBuilder, Value } from '../../onnx/graph-builder.js';
import type { Layers } from '../../onnx/layers.js';
import { Layout } from '../../onnx/layout.js';
import { add, cast, gather, reduceMean, reshape } from '../../onnx/operators.js';
import { ssmGraph } from '../layers/ssm-onnx.js';

/** @param image - normalised, [batch, channels, side, side]; @returns logits */
export function mambaGraph(
  { depth, scan, dModel, imageSize, patchSize }: MambaConfig,
  layers: Layers,
  image: Value,
  scanOp: ScanOp,
): Value {
  const { g } = layers;
  const layout = new Layout(g, image, scanOp === 'linear-attention' ? 'batch' : 'length');
  const length = (imageSize / patchSize) ** 2;
  const patches = reshape(g, layers.conv2d('patch_embed', image), [layout.batch, dModel, length]);
  const position = layers.weight('pos_embed').data;
  let x = add(
    g,
    layout.fromChannels(g, patches),
    layers.constant('pos_embed', { data: position, shape: layout.constantShape(length, dModel) }),
  );
  for (let block = 0; block < depth; block++) {
    const here = layers.at(`blocks.${block}`);
    x = reordered(here.g, x, layout, reorderBefore(block, scan), length);
    const normed = here.layerNorm('norm1', x);
    x = add(here.g, x, ssmGraph(here.at('ssm'), normed, layout, scanOp));
    x = add(here.g, x, here.mlp('mlp', ['0', '2'], here.layerNorm('norm2', x)));
  }
  const exact = layers.exact;
  const normed = exact.layerNorm('norm', cast(g, x, 'float32'));
  return exact.linear('head', reduceMean(g, normed, [layout.axis]));
}

/** The patches as `F.reorderTokens` puts them, by where each comes from. */
function reordered(
  g: GraphBuilder,
  x: Value,
  { axis }: Layout,
  order: F.TokenOrder | undefined,
  length: number,
): Value {
  if (!order) return x;
  const side = Math.sqrt(length);
  const from = Array.from({ length }, (_, token) =>
    order === 'reversed' ? length - 1 - token : (token % side) * side + Math.floor(token / side),
  );
  return gather(g, x, axis, from, { name: order });
}
