// Vision transformer as a graph; models/vit.ts is what it computes.
import type { VitConfig } from '../../models/vit-config.js';
import { attentionGroup } from '../../models/vit-config.js';
import type { Value } from './graph-builder.js';
import type { Layers } from './layers.js';
import { add, cast, ints, matMul, mul, reshape, select, softmax, transpose } from './operators.js';

/** @param image - normalised, [batch, channels, side, side]; @returns logits */
export function vitGraph(config: VitConfig, layers: Layers, image: Value): Value {
  const { depth, dModel, imageSize, patchSize, headDim, widths } = config;
  const { g } = layers;
  const [batch = 1] = image.shape;
  const length = (imageSize / patchSize) ** 2;
  const patches = layers.at('patch_embed').conv2d('proj', image);
  const rows = transpose(g, reshape(g, patches, [batch, dModel, length]), [0, 2, 1]);
  // The class token is the same for every image: a row of zeros before the patches, to which the
  // positions, with the token in their first row, are added.
  const padded = g.node('Pad', [rows, ints(g, 'pads', [0, 1, 0, 0, 0, 0])], {
    type: rows.type,
    shape: [batch, length + 1, dModel],
  });
  const { data, shape } = layers.weight('pos_embed');
  const classToken = layers.weight('cls_token').data;
  const start = data.map((value, i) => value + (classToken[i] ?? 0));
  let x = add(g, padded, layers.constant('pos_embed', { data: start, shape }));
  for (let block = 0; block < depth; block++) {
    const here = layers.at(`blocks.${block}`);
    const heads = widths[attentionGroup(block)] as number;
    x = add(here.g, x, attention(here.at('attn'), here.layerNorm('norm1', x), heads, headDim));
    x = add(here.g, x, here.mlp('mlp', ['fc1', 'fc2'], here.layerNorm('norm2', x)));
  }
  // LayerNorm works token by token: only the class token's is needed.
  const token = cast(g, select(g, x, 1, 0), 'float32');
  return layers.exact.linear('head', layers.exact.layerNorm('norm', token));
}

function attention(layers: Layers, x: Value, heads: number, headDim: number): Value {
  const { g } = layers;
  const [batch = 1, length = 1] = x.shape;
  const parts = reshape(g, layers.linear('qkv', x), [batch, length, 3, heads, headDim]);
  const byPart = transpose(g, parts, [2, 0, 3, 1, 4]);
  const [q, k, v] = [0, 1, 2].map((part) => select(g, byPart, 0, part)) as [Value, Value, Value];
  const scale = g.constant('scale', q.type, [headDim ** -0.5], []);
  const scores = matMul(g, mul(g, q, scale), transpose(g, k, [0, 1, 3, 2]));
  const weights = cast(g, softmax(g, cast(g, scores, 'float32')), v.type);
  const seen = transpose(g, matMul(g, weights, v), [0, 2, 1, 3]);
  return layers.linear('proj', reshape(g, seen, [batch, length, heads * headDim]));
}
