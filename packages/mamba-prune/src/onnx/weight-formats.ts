// Weights in fewer bytes than float32 has.
//
// `int8`: symmetric, one scale per output channel. The graph turns them back into floats before they are
// used; onnxruntime does that once, when it loads the file, and then computes as fast as ever.
// (DequantizeLinear, the usual node for it, is not computed at loading but in every run: 1.4 to 2 times
// the time.) `int8-dynamic` multiplies integers: activations are quantized in every run with one scale
// for the whole batch, so the result of an image depends a little on the others.
import type { Weight } from './layers.js';
import type { GraphBuilder, Value } from './graph-builder.js';
import { cast, mul } from './operators.js';
import type { FloatType } from './choices.js';

interface Quantized {
  /** Whole numbers from -127 to 127. */
  readonly data: Float32Array;
  /** One per index of the dimension of the channels. */
  readonly scales: Float32Array;
}

/** @param axis - the dimension of the output channels */
export function quantize({ data, shape }: Weight, axis: number): Quantized {
  const inner = shape.slice(axis + 1).reduce((product, size) => product * size, 1);
  const channels = shape[axis] as number;
  const channelOf = (i: number): number => Math.floor(i / inner) % channels;
  const scales = new Float32Array(channels);
  data.forEach((value, i) => {
    const channel = channelOf(i);
    scales[channel] = Math.max(scales[channel] as number, Math.abs(value) / 127);
  });
  // A channel of zeros: any scale will do.
  scales.forEach((scale, i) => {
    if (scale === 0) scales[i] = 1;
  });
  return {
    data: data.map((value, i) => Math.round(value / (scales[channelOf(i)] as number))),
    scales,
  };
}

/** A weight kept as int8 and turned into floats in the graph. @param axis - of the output channels */
export function int8Weight(g: GraphBuilder, weight: Weight, axis: number, type: FloatType): Value {
  const { data, scales } = quantize(weight, axis);
  const stored = g.constant('weight', 'int8', data, weight.shape);
  const scaleShape = weight.shape.map((size, dim) => (dim === axis ? size : 1));
  const scale = g.constant('weight.scale', type, scales, scaleShape);
  return mul(g, cast(g, stored, type), scale, { name: 'weight.float' });
}

/**
 * x W with both as integers. Weights are unsigned around 128: with signed ones the sums of two products
 * overflow on CPUs with AVX2 that lack VNNI.
 * @param weight - [in, out]
 */
export function dynamicProduct(g: GraphBuilder, x: Value, weight: Weight): Value {
  const { data, scales } = quantize(weight, 1);
  const middle = 128;
  const stored = g.constant(
    'weight',
    'uint8',
    data.map((value) => value + middle),
    weight.shape,
  );
  const [quantized, xScale, xZero] = g.nodes(
    'DynamicQuantizeLinear',
    [cast(g, x, 'float32')],
    [
      { type: 'uint8', shape: x.shape },
      { type: 'float32', shape: [] },
      { type: 'uint8', shape: [] },
    ],
  ) as [Value, Value, Value];
  const shape = x.shape.with(-1, scales.length);
  const zero = g.constant('weight.zero', 'uint8', [middle], []);
  const sums = g.node('MatMulInteger', [quantized, stored, xZero, zero], { type: 'int32', shape });
  const scale = mul(g, xScale, g.constant('weight.scale', 'float32', scales, [scales.length]));
  return cast(g, mul(g, cast(g, sums, 'float32'), scale), x.type);
}
