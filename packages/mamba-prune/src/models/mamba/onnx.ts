// Vision Mamba as a graph; model.ts is what it computes.
import type { F } from '@mamba-prune/libtorch';
import type { MambaConfig } from './config.js';
import { reorderBefore } from './scan-order.js';
import type { ScanOp } from '../../onnx/choices.js';
import type { GraphBuilder, Value } from '../../onnx/graph-builder.js';
import type { Layers, Weight } from '../../onnx/layers.js';
import { Layout } from '../../onnx/layout.js';
import {
  add,
  cast,
  conv,
  gather,
  mul,
  reduceMean,
  reshape,
  silu,
  softplus,
  split,
} from '../../onnx/operators.js';
import { selectiveScan } from '../../onnx/selective-scan.js';

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
    x = add(here.g, x, ssm(here.at('ssm'), here.layerNorm('norm1', x), layout, scanOp, scan));
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

/** Suffixes of the parameters of each direction, as in the state dict. */
const directions = { uni: [''], cross: [''], bi: ['', '_b'] } as const;

function ssm(
  layers: Layers,
  x: Value,
  layout: Layout,
  scanOp: ScanOp,
  scan: MambaConfig['scan'],
): Value {
  const { g } = layers;
  const dInner = (layers.weight('in_proj.weight').shape[0] as number) / 2;
  const [u, z] = split(g, layers.linear('in_proj', x), 2, [dInner, dInner]) as [Value, Value];
  const [forward, backward] = directions[scan].map((suffix) =>
    direction(layers, u, suffix, layout, scanOp),
  ) as [Value, Value?];
  const y = backward ? add(g, forward, backward) : forward;
  // Both directions have the same gate.
  return layers.linear('out_proj', mul(g, cast(g, y, z.type), silu(g, z)));
}

/** Convolution, selection, scan and skip of one direction, before the gate. */
function direction(
  layers: Layers,
  x: Value,
  suffix: '' | '_b',
  layout: Layout,
  scanOp: ScanOp,
): Value {
  const { g } = layers;
  const reverse = suffix === '_b';
  const u = silu(g, causalConv(layers, `conv1d${suffix}`, x, layout, reverse));
  const aLog = layers.weight(reverse ? 'A_b_log' : 'A_log');
  const dState = aLog.shape[1] as number;
  const dtRank = layers.weight(`dt_proj${suffix}.weight`).shape[1] as number;
  const selection = layers.linear(`x_proj${suffix}`, u);
  const [dt, B, C] = split(g, selection, 2, [dtRank, dState, dState]) as [Value, Value, Value];
  // From here on in float32: sums over all positions.
  const [steps, input] = [layers.linear(`dt_proj${suffix}`, dt), u].map((value) =>
    cast(g, value, 'float32'),
  ) as [Value, Value];
  const delta = softplus(g, steps, { name: `delta${suffix}` });
  const y = selectiveScan(
    g.at(`scan${suffix}`),
    {
      delta,
      deltaU: mul(g, delta, input),
      B: cast(g, B, 'float32'),
      C: cast(g, C, 'float32'),
      A: negativeExp(aLog),
      reverse,
    },
    layout,
    scanOp,
  );
  const skip = layers.exact.parameter(`D${suffix}`);
  return add(g, y, mul(g, input, skip, { name: `skip${suffix}` }));
}

/** Each channel sees itself and the positions before it: those after it, in reverse. */
function causalConv(
  layers: Layers,
  name: string,
  x: Value,
  layout: Layout,
  reverse: boolean,
): Value {
  const { g } = layers;
  const here = layers.at(name);
  const { data, shape } = here.weight('weight');
  const [dInner, , taps] = shape as [number, number, number];
  const weight = here.constant('weight', { data: reverse ? flipped(data, taps) : data, shape });
  const y = conv(g, layout.toChannels(g, x), weight, here.parameter('bias'), {
    name,
    groups: dInner,
    pads: reverse ? [0, taps - 1] : [taps - 1, 0],
  });
  return layout.fromChannels(g, y);
}

const negativeExp = ({ data, shape }: Weight): Weight => ({
  data: data.map((value) => -Math.exp(value)),
  shape,
});

/** Every row of `width` numbers from its end to its beginning. */
function flipped(data: Float32Array, width: number): Float32Array {
  return data.map((_, i) => data[i - (i % width) + (width - 1 - (i % width))] as number);
}
