// The standard's operators as functions of values that know their shapes.
// https://onnx.ai/onnx/operators/
import { ShapeError } from '@mamba-prune/libtorch';
import type { Attributes, Dim, GraphBuilder, NodeOptions, Shape, Value } from './graph-builder.js';
import { type ElementType, elementTypes } from './messages.js';

export type Named = Pick<NodeOptions, 'name'>;

/** The operator set that all graphs are written in; onnxruntime knows it from version 1.17 on. */
export const opsetVersion = 20;

/** Names of `Add`, `Mul` ...: two tensors, broadcast as NumPy does. */
export type Binary = 'Add' | 'Mul';
export type Unary = 'Exp' | 'Relu' | 'Sigmoid';

export function binary(g: GraphBuilder, op: Binary, a: Value, b: Value, named: Named = {}): Value {
  return g.node(op, [a, b], { type: a.type, shape: broadcast(op, a, b) }, named);
}

export const add = (g: GraphBuilder, a: Value, b: Value, named?: Named): Value =>
  binary(g, 'Add', a, b, named);
export const mul = (g: GraphBuilder, a: Value, b: Value, named?: Named): Value =>
  binary(g, 'Mul', a, b, named);

export function unary(g: GraphBuilder, op: Unary, x: Value, named: Named = {}): Value {
  return g.node(op, [x], x, named);
}

/** x * sigmoid(x) */
export function silu(g: GraphBuilder, x: Value): Value {
  return mul(g, x, unary(g, 'Sigmoid', x));
}

/**
 * log(1 + e^x), as the larger of x and log(1 + e^min(x, 80)), since e^x overflows from 89 on. The
 * standard's Softplus is one node, but onnxruntime takes three times as long for it (1.30, AVX2).
 */
export function softplus(g: GraphBuilder, x: Value, named: Named = {}): Value {
  const number = (name: string, value: number): Value => g.constant(name, x.type, [value], []);
  const bounded = g.node('Min', [x, number('bound', 80)], x);
  const log = g.node('Log', [add(g, unary(g, 'Exp', bounded), number('one', 1))], x);
  return g.node('Max', [x, log], x, named);
}

/** The exact GELU, x * Phi(x). */
export function gelu(g: GraphBuilder, x: Value): Value {
  return g.node('Gelu', [x], x, { attributes: { approximate: { text: 'none' } } });
}

export function cast(g: GraphBuilder, x: Value, type: ElementType, named: Named = {}): Value {
  if (x.type === type) return x;
  const to = { int: elementTypes[type] };
  return g.node('Cast', [x], { type, shape: x.shape }, { ...named, attributes: { to } });
}

/** Over the last two dimensions; those before them are broadcast. */
export function matMul(g: GraphBuilder, a: Value, b: Value, named: Named = {}): Value {
  return g.node('MatMul', [a, b], { type: a.type, shape: matMulShape(a, b) }, named);
}

function matMulShape(a: Value, b: Value): Shape {
  if (a.shape.length < 2 || b.shape.length < 2 || a.shape.at(-1) !== b.shape.at(-2)) {
    throw mismatch('MatMul', a, b);
  }
  const leading = broadcastShapes(a.shape.slice(0, -2), b.shape.slice(0, -2));
  if (!leading) throw mismatch('MatMul', a, b);
  return [...leading, a.shape.at(-2) as Dim, b.shape.at(-1) as Dim];
}

export function transpose(g: GraphBuilder, x: Value, perm: readonly number[]): Value {
  const shape = perm.map((from) => x.shape[from] as Dim);
  return g.node(
    'Transpose',
    [x],
    { type: x.type, shape },
    { attributes: { perm: { ints: perm } } },
  );
}

/** @param shape - may have one dimension that is only known later; it keeps what the others leave */
export function reshape(g: GraphBuilder, x: Value, shape: Shape): Value {
  const dims = shape.map((dim) => (typeof dim === 'number' ? dim : -1));
  return g.node('Reshape', [x, ints(g, 'shape', dims)], { type: x.type, shape });
}

export function unsqueeze(g: GraphBuilder, x: Value, axis: number): Value {
  const shape = x.shape.toSpliced(axis, 0, 1);
  return g.node('Unsqueeze', [x, ints(g, 'axes', [axis])], { type: x.type, shape });
}

export function squeeze(g: GraphBuilder, x: Value, axis: number, named: Named = {}): Value {
  const shape = x.shape.toSpliced(axis, 1);
  return g.node('Squeeze', [x, ints(g, 'axes', [axis])], { type: x.type, shape }, named);
}

/** Parts of one dimension, in order. */
export function split(
  g: GraphBuilder,
  x: Value,
  axis: number,
  sizes: readonly number[],
  named: Named = {},
): Value[] {
  const total = sizes.reduce((sum, size) => sum + size, 0);
  if (x.shape[axis] !== total) {
    throw new ShapeError(
      `ONNX Split "${x.name}": got parts of ${sizes.join(' + ')} for dimension ${axis} of ${described(x)}.`,
    );
  }
  const outputs = sizes.map((size) => ({ type: x.type, shape: x.shape.with(axis, size) }));
  return g.nodes('Split', [x, ints(g, 'split', sizes)], outputs, {
    ...named,
    attributes: { axis: { int: axis } },
  });
}

/** Elements `from`, `from + step` ... of one dimension; a negative step goes backwards to its beginning. */
export function reversed(g: GraphBuilder, x: Value, axis: number): Value {
  const parts = [[-1], [-(2 ** 31)], [axis], [-1]].map((value, i) =>
    ints(g, ['starts', 'ends', 'axes', 'steps'][i] as string, value),
  );
  return g.node('Slice', [x, ...parts], x, { name: 'Reverse' });
}

/** The elements at `indices` of one dimension, in that order. */
export function gather(
  g: GraphBuilder,
  x: Value,
  axis: number,
  indices: readonly number[],
  named: Named = {},
): Value {
  const shape = x.shape.with(axis, indices.length);
  return g.node(
    'Gather',
    [x, ints(g, 'indices', indices)],
    { type: x.type, shape },
    { ...named, attributes: { axis: { int: axis } } },
  );
}

/** The element at `index` of one dimension, which goes away. */
export function select(g: GraphBuilder, x: Value, axis: number, index: number): Value {
  const at = g.constant('index', 'int64', [index], []);
  const shape = x.shape.toSpliced(axis, 1);
  return g.node(
    'Gather',
    [x, at],
    { type: x.type, shape },
    { attributes: { axis: { int: axis } } },
  );
}

export function concat(g: GraphBuilder, parts: readonly Value[], axis: number): Value {
  const [first] = parts as [Value];
  const total = parts.reduce((sum, part) => sum + (part.shape[axis] as number), 0);
  const shape = first.shape.with(axis, total);
  return g.node(
    'Concat',
    parts,
    { type: first.type, shape },
    { attributes: { axis: { int: axis } } },
  );
}

export function softmax(g: GraphBuilder, x: Value, named: Named = {}): Value {
  return g.node('Softmax', [x], x, { ...named, attributes: { axis: { int: -1 } } });
}

/** Mean over dimensions, which go away. */
export function reduceMean(g: GraphBuilder, x: Value, axes: readonly number[]): Value {
  const shape = x.shape.filter((_, axis) => !axes.includes(axis));
  const attributes: Attributes = { keepdims: { int: 0 } };
  return g.node('ReduceMean', [x, ints(g, 'axes', axes)], { type: x.type, shape }, { attributes });
}

export interface ConvSettings extends Named {
  readonly groups?: number;
  /** Of every spatial dimension. Default `1`. */
  readonly stride?: number;
  /** Zeros before and after every spatial dimension. */
  readonly pads: readonly [number, number];
}

/**
 * @param x - shape [batch, channels, ...spatial]
 * @param weight - shape [out, channels / groups, ...kernel]
 */
export function conv(
  g: GraphBuilder,
  x: Value,
  weight: Value,
  bias: Value | undefined,
  { groups = 1, stride = 1, pads, ...named }: ConvSettings,
): Value {
  const kernel = weight.shape.slice(2) as number[];
  if (x.shape[1] !== (weight.shape[1] as number) * groups) throw mismatch('Conv', x, weight);
  const spatial = x.shape
    .slice(2)
    .map(
      (size, i) =>
        Math.floor(((size as number) + pads[0] + pads[1] - (kernel[i] as number)) / stride) + 1,
    );
  const attributes: Attributes = {
    kernel_shape: { ints: kernel },
    strides: { ints: kernel.map(() => stride) },
    pads: { ints: [...kernel.map(() => pads[0]), ...kernel.map(() => pads[1])] },
    group: { int: groups },
  };
  const shape = [x.shape[0] as Dim, weight.shape[0] as Dim, ...spatial];
  const inputs = bias ? [x, weight, bias] : [x, weight];
  return g.node('Conv', inputs, { type: x.type, shape }, { ...named, attributes });
}

export function maxPool(g: GraphBuilder, x: Value, size: number, stride: number): Value {
  const pad = size >> 1;
  const side = (from: Dim): number => Math.floor(((from as number) + 2 * pad - size) / stride) + 1;
  const [batch, channels, height, width] = x.shape as [Dim, Dim, Dim, Dim];
  const attributes: Attributes = {
    kernel_shape: { ints: [size, size] },
    strides: { ints: [stride, stride] },
    pads: { ints: [pad, pad, pad, pad] },
  };
  const shape = [batch, channels, side(height), side(width)];
  return g.node('MaxPool', [x], { type: x.type, shape }, { attributes });
}

/** A constant list of integers, as many operators want their shapes and axes. */
export function ints(g: GraphBuilder, name: string, values: readonly number[]): Value {
  return g.constant(name, 'int64', values, [values.length]);
}

function broadcast(op: string, a: Value, b: Value): Shape {
  const shape = broadcastShapes(a.shape, b.shape);
  if (!shape || a.type !== b.type) throw mismatch(op, a, b);
  return shape;
}

function broadcastShapes(a: Shape, b: Shape): Shape | undefined {
  const length = Math.max(a.length, b.length);
  const shape: Dim[] = [];
  for (let i = 1; i <= length; i++) {
    const [x, y] = [a.at(-i) ?? 1, b.at(-i) ?? 1];
    if (i > a.length || x === 1) shape.unshift(y);
    else if (i > b.length || y === 1 || x === y) shape.unshift(x);
    else return undefined;
  }
  return shape;
}

function mismatch(op: string, a: Value, b: Value): ShapeError {
  return new ShapeError(
    `ONNX ${op}: "${a.name}" of ${described(a)} and "${b.name}" of ${described(b)} do not fit together.`,
  );
}

const described = ({ type, shape }: Value): string => `${type} [${shape.join(', ')}]`;
