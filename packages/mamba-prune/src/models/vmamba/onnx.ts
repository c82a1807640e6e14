// VMamba as a graph; model.ts is what it computes.
import type { ScanOp } from '../../onnx/choices.js';
import type { GraphBuilder, Value } from '../../onnx/graph-builder.js';
import { type Layers, type Weight, transposed } from '../../onnx/layers.js';
import { Layout } from '../../onnx/layout.js';
import {
  add,
  cast,
  gather,
  gelu,
  matMul,
  mul,
  reduceMean,
  reshape,
  silu,
  softplus,
  split,
  transpose,
} from '../../onnx/operators.js';
import { selectiveScan } from '../../onnx/selective-scan.js';
import { type VMambaConfig, blockName, dtRankOf, gridSides, stageWidth } from './config.js';

/** @param image - normalised, [batch, channels, side, side]; @returns logits */
export function vmambaGraph(
  config: VMambaConfig,
  layers: Layers,
  image: Value,
  scanOp: ScanOp,
): Value {
  const layout = new Layout(layers.g, image, scanOp === 'linear-attention' ? 'batch' : 'length');
  const sides = gridSides(config);
  const last = config.blocks.length - 1;
  let grid = stem(layers.at('patch_embed'), image);
  config.blocks.forEach((count, stage) => {
    const sizes = {
      side: sides[stage] as number,
      width: stageWidth(config.baseWidth, stage),
      dState: config.dState,
      dtRank: dtRankOf(config, stage),
    };
    let x = tokens(layers.g.at(`layers.${stage}.in`), grid, layout, sizes);
    for (let index = 0; index < count; index++) {
      const here = layers.at(blockName(stage, index));
      x = add(here.g, x, op(here.at('op'), here.layerNorm('norm', x), layout, scanOp, sizes));
      x = add(here.g, x, here.mlp('mlp', ['fc1', 'fc2'], here.layerNorm('norm2', x)));
    }
    grid = images(layers.g.at(`layers.${stage}.out`), x, layout, sizes);
    if (stage < last) grid = convNorm(layers.at(`layers.${stage}.downsample`), '1', '3', grid);
  });
  const exact = layers.at('classifier').exact;
  const normed = exact.layerNorm(
    'norm',
    cast(layers.g, transpose(layers.g, grid, [0, 2, 3, 1]), 'float32'),
  );
  return exact.linear('head', reduceMean(layers.g, normed, [1, 2]));
}

function stem(layers: Layers, image: Value): Value {
  const first = convNorm(layers, '0', '2', image);
  return convNorm(layers, '5', '7', gelu(layers.g, first));
}

/** Convolution and LayerNorm over the channels. @returns [batch, channels, side, side] */
function convNorm(layers: Layers, conv: string, norm: string, x: Value): Value {
  const { g } = layers;
  const normed = layers.layerNorm(norm, transpose(g, layers.conv2d(conv, x), [0, 2, 3, 1]));
  return transpose(g, normed, [0, 3, 1, 2]);
}

interface Sizes {
  readonly side: number;
  readonly width: number;
  readonly dState: number;
  readonly dtRank: number;
}

/** [batch, channels, side, side] to a sequence, row by row. */
function tokens(g: GraphBuilder, grid: Value, layout: Layout, { side, width }: Sizes): Value {
  return layout.fromChannels(g, reshape(g, grid, [layout.batch, width, side * side]));
}

/** The inverse of `tokens`. */
function images(g: GraphBuilder, x: Value, layout: Layout, { side, width }: Sizes): Value {
  return reshape(g, layout.toChannels(g, x), [layout.batch, width, side, side]);
}

function op(layers: Layers, x: Value, layout: Layout, scanOp: ScanOp, sizes: Sizes): Value {
  const { g } = layers;
  const dInner = layers.weight('in_proj.weight').shape[0] as number;
  const inner = { ...sizes, width: dInner };
  const grid = images(g, layers.linear('in_proj', x), layout, inner);
  const u = tokens(g, silu(g, layers.conv2d('conv2d', grid)), layout, inner);
  const columns = turned(g, u, layout, sizes.side);
  // Rows and columns, each forward and in reverse: directions 0 and 2 of the weights, then 1 and 3.
  const sums = [u, columns].map((input, way) => {
    const [forward, backward] = [way, way + 2].map((k) =>
      direction(layers, input, k, dInner, layout, scanOp, sizes),
    ) as [Value, Value];
    return add(g, forward, backward);
  }) as [Value, Value];
  const y = add(g, sums[0], turned(g, sums[1], layout, sizes.side));
  const normed = layers.exact.layerNorm('out_norm', y);
  return layers.linear('out_proj', cast(g, normed, x.type));
}

/** The positions column by column in place of row by row, or the other way round. */
function turned(g: GraphBuilder, x: Value, layout: Layout, side: number): Value {
  const from = Array.from(
    { length: side * side },
    (_, token) => (token % side) * side + Math.floor(token / side),
  );
  return gather(g, x, layout.axis, from, { name: 'transposed' });
}

/** Selection, scan and skip of direction k. @param u - in the direction's order, but for its reversal */
function direction(
  layers: Layers,
  u: Value,
  k: number,
  dInner: number,
  layout: Layout,
  scanOp: ScanOp,
  { dState, dtRank }: Sizes,
): Value {
  const g = layers.g.at(`direction${k}`);
  const of = (name: string, shape: readonly number[]): Weight =>
    part(layers.weight(name), k, shape);
  const constant = (name: string, weight: Weight): Value =>
    g.constant(name, layers.format.type, weight.data, weight.shape);
  const rows = dtRank + 2 * dState;
  const xProj = constant('x_proj', transposed(of('x_proj_weight', [rows, dInner])));
  const [dt, B, C] = split(g, matMul(g, u, xProj), 2, [dtRank, dState, dState]) as [
    Value,
    Value,
    Value,
  ];
  const dtProj = constant('dt_proj', transposed(of('dt_projs_weight', [dInner, dtRank])));
  // From here on in float32: sums over all positions.
  const steps = cast(g, matMul(g, dt, dtProj), 'float32');
  const input = cast(g, u, 'float32');
  const exact = (name: string, weight: Weight): Value =>
    g.constant(name, 'float32', weight.data, weight.shape);
  const bias = exact('dt_bias', of('dt_projs_bias', [dInner]));
  const delta = softplus(g, add(g, steps, bias), { name: 'delta' });
  const { data, shape } = of('A_logs', [dInner, dState]);
  const y = selectiveScan(
    g.at('scan'),
    {
      delta,
      deltaU: mul(g, delta, input),
      B: cast(g, B, 'float32'),
      C: cast(g, C, 'float32'),
      A: { data: data.map((value) => -Math.exp(value)), shape },
      reverse: k >= 2,
    },
    layout,
    scanOp,
  );
  return add(g, y, mul(g, input, exact('skip', of('Ds', [dInner])), { name: 'skip' }));
}

/** The k-th of four equal parts of a weight, one after the other in memory. */
function part({ data }: Weight, k: number, shape: readonly number[]): Weight {
  const size = shape.reduce((product, dim) => product * dim, 1);
  return { data: data.slice(k * size, (k + 1) * size), shape };
}
