// The selective SSM as part of a graph; ssm.ts is what it computes.
import type { ScanOp } from '../../onnx/choices.js';
import type { Value } from '../../onnx/graph-builder.js';
import type { Layers, Weight } from '../../onnx/layers.js';
import type { Layout } from '../../onnx/layout.js';
import { add, cast, conv, mul, silu, softplus, split } from '../../onnx/operators.js';
import { selectiveScan } from '../../onnx/selective-scan.js';

/**
 * @param layers - those of the SSM; of two directions where its weights have two
 * @param x - a sequence of dModel features, as `layout` has it
 * @param halved - whether the mean of two directions is taken in place of their sum. Default `false`
 */
export function ssmGraph(
  layers: Layers,
  x: Value,
  layout: Layout,
  scanOp: ScanOp,
  { halved = false }: { readonly halved?: boolean } = {},
): Value {
  const { g } = layers;
  const dInner = (layers.weight('in_proj.weight').shape[0] as number) / 2;
  const [u, z] = split(g, layers.linear('in_proj', x), 2, [dInner, dInner]) as [Value, Value];
  const forward = direction(layers, u, '', layout, scanOp);
  let y = forward;
  if (layers.has('A_b_log')) {
    y = add(g, forward, direction(layers, u, '_b', layout, scanOp));
    if (halved) y = mul(g, y, g.constant('half', y.type, [0.5], []), { name: 'mean' });
  }
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
