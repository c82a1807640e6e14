// Vision transformer as a graph; model.ts is what it computes.
import { type VitConfig, attentionGroup, headDimIn, prefixTokens } from './config.js';
import type { GraphBuilder, Value } from '../../onnx/graph-builder.js';
import type { Layers, Weight } from '../../onnx/layers.js';
import {
  add,
  cast,
  concat,
  ints,
  matMul,
  mul,
  reduceMean,
  reshape,
  select,
  softmax,
  split,
  transpose,
} from '../../onnx/operators.js';

/** @param image - normalised, [batch, channels, side, side]; @returns logits */
export function vitGraph(config: VitConfig, layers: Layers, image: Value): Value {
  const { depth, widths } = config;
  const { g } = layers;
  let x = embedding(config, layers, image);
  for (let block = 0; block < depth; block++) {
    const here = layers.at(`blocks.${block}`);
    const heads = widths[attentionGroup(block)] as number;
    const normed = here.layerNorm('norm1', x);
    x = add(here.g, x, attention(here.at('attn'), normed, heads, headDimIn(config, block)));
    x = add(here.g, x, here.mlp('mlp', ['fc1', 'fc2'], here.layerNorm('norm2', x)));
  }
  return classifier(config, layers.exact, g, x);
}

function embedding(config: VitConfig, layers: Layers, image: Value): Value {
  const { dModel, imageSize, patchSize } = config;
  const { g } = layers;
  const [batch = 1] = image.shape;
  const length = (imageSize / patchSize) ** 2;
  const before = prefixTokens(config);
  const patches = layers.at('patch_embed').conv2d('proj', image);
  const rows = transpose(g, reshape(g, patches, [batch, dModel, length]), [0, 2, 1]);
  // The tokens before the patches are the same for every image: rows of zeros, to which the positions,
  // with the tokens in their first rows, are added.
  const padded =
    before === 0
      ? rows
      : g.node('Pad', [rows, ints(g, 'pads', [0, before, 0, 0, 0, 0])], {
          type: rows.type,
          shape: [batch, length + before, dModel],
        });
  return add(g, padded, layers.constant('pos_embed', start(layers)));
}

/** Positions plus the tokens that come before the patches. */
function start(layers: Layers): Weight {
  const { data, shape } = layers.weight('pos_embed');
  const tokens = ['cls_token', 'dist_token', 'reg_token']
    .filter((name) => layers.has(name))
    .flatMap((name) => [...layers.weight(name).data]);
  return { data: data.map((value, i) => value + (tokens[i] ?? 0)), shape };
}

/** LayerNorm works token by token: only of those that the classifier reads is it computed. */
function classifier(config: VitConfig, layers: Layers, g: GraphBuilder, x: Value): Value {
  const { pooling = 'token', poolsBeforeNorm = false, distilled = false } = config;
  const norm = (tokens: Value) => layers.layerNorm('norm', cast(g, tokens, 'float32'));
  const token = (index: number) => norm(select(g, x, 1, index));
  if (distilled) {
    const first = layers.linear('head', token(0));
    const sum = add(g, first, layers.linear('head_dist', token(1)));
    return mul(g, sum, g.constant('half', 'float32', [0.5], []));
  }
  if (pooling === 'token') return layers.linear('head', token(0));
  const before = prefixTokens(config);
  const length = x.shape[1] as number;
  const patches = before === 0 ? x : (split(g, x, 1, [before, length - before])[1] as Value);
  if (poolsBeforeNorm) {
    return layers.linear('head', norm(reduceMean(g, cast(g, patches, 'float32'), [1])));
  }
  const mean = reduceMean(g, norm(patches), [1]);
  return layers.linear('head', pooling === 'mean' ? mean : concat(g, [token(0), mean], 1));
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
