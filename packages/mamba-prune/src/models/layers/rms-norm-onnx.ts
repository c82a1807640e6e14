// RMSNorm as part of a graph; rms-norm.ts is what it computes.
import type { Value } from '../../onnx/graph-builder.js';
import type { Layers } from '../../onnx/layers.js';
import { add, mul } from '../../onnx/operators.js';

/**
 * In the operators by which onnxruntime (1.30) knows the norm: where it optimises graphs, it computes them as one,
 * SimplifiedLayerNormalization.
 * @param layers - those of the norm; its weight is of the type of `x`
 * @param eps - added to the mean square
 */
export function rmsNormGraph(layers: Layers, x: Value, eps: number): Value {
  const { g } = layers;
  const number = (name: string, value: number): Value => g.constant(name, x.type, [value], []);
  const square = g.node('Pow', [x, number('two', 2)], x);
  const last = x.shape.length - 1;
  const axes = g.constant('axes', 'int64', [last], [1]);
  const mean = g.node(
    'ReduceMean',
    [square, axes],
    { type: x.type, shape: x.shape.with(last, 1) },
    { attributes: { keepdims: { int: 1 } } },
  );
  const sum = add(g, mean, number('eps', eps));
  const root = g.node('Sqrt', [sum], sum);
  return mul(g, g.node('Div', [x, root], x), layers.parameter('weight'));
}
