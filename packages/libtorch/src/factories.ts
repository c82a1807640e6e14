// Functions that make tensors.
import { type OptionKinds, checkOptions } from './check-options.js';
import { type DType, dtypeOfArray, newTypedArray } from './dtype.js';
import { ShapeError } from './errors.js';
import * as ops from './generated/ops.js';
import { native } from './native.js';
import type { Generator } from './random.js';
import { type NestedNumbers, Tensor } from './tensor.js';

export interface TensorOptions {
  /** Type of the elements. Default `float32`. */
  readonly dtype?: DType | undefined;
  /** Where the tensor lies. Default `cpu`. */
  readonly device?: string | undefined;
  readonly requiresGrad?: boolean | undefined;
}

export interface RandomOptions extends TensorOptions {
  /** Where the numbers are drawn from. Default: the generator of the device. */
  readonly generator?: Generator | undefined;
}

type Shape = readonly number[];

const tensorKinds: OptionKinds<TensorOptions> = {
  dtype: 'string',
  device: 'string',
  requiresGrad: 'boolean',
};
const randomKinds: OptionKinds<RandomOptions> = { ...tensorKinds, generator: 'object' };
const arrayKinds = { ...tensorKinds, copy: 'boolean' } as const;

function finish(made: Tensor, { device, requiresGrad }: TensorOptions): Tensor {
  const tensor = device === undefined ? made : inPlaceOf(made, device);
  if (requiresGrad === true) tensor.requiresGrad = true;
  return tensor;
}

/** Of another type or on another device; nobody else has what it was made from. */
function inPlaceOf(made: Tensor, target: string): Tensor {
  const tensor = made.to(target);
  if (tensor !== made) made.dispose();
  return tensor;
}

function shapeOf(values: NestedNumbers): number[] {
  const shape: number[] = [];
  for (let level: NestedNumbers | undefined = values; Array.isArray(level); level = level[0]) {
    shape.push(level.length);
  }
  return shape;
}

function flattenInto(values: NestedNumbers, shape: Shape, dim: number, out: number[]): void {
  if (!Array.isArray(values)) {
    if (dim !== shape.length) throw ragged(shape);
    out.push(values);
    return;
  }
  if (dim === shape.length || values.length !== shape[dim]) throw ragged(shape);
  for (const value of values) flattenInto(value, shape, dim + 1, out);
}

function ragged(shape: Shape): ShapeError {
  return new ShapeError(
    `tensor: got nested arrays of unequal lengths, expected every row as long as the first ([${shape.join(', ')}])`,
  );
}

/** A tensor of the given numbers: one number, or nested arrays of equal lengths. */
export function tensor(values: NestedNumbers, options: TensorOptions = {}): Tensor {
  checkOptions('tensor', options, tensorKinds);
  const shape = shapeOf(values);
  const flat: number[] = [];
  flattenInto(values, shape, 0, flat);
  const dtype = options.dtype ?? 'float32';
  if (dtype === 'float16' || dtype === 'bfloat16') {
    return finish(inPlaceOf(fromTypedArray(Float32Array.from(flat), shape), dtype), options);
  }
  const array = newTypedArray(dtype, flat.length);
  if (array instanceof BigInt64Array) flat.forEach((v, i) => (array[i] = BigInt(Math.trunc(v))));
  else flat.forEach((v, i) => (array[i] = dtype === 'bool' ? Number(v !== 0) : v));
  return finish(fromTypedArray(array, shape, { dtype }), options);
}

/**
 * A tensor of a typed array's values, row-major.
 * @param options.copy - false shares the array's memory: no copy, and a write to one is seen by the
 *   other. The array lives as long as the tensor does.
 * @throws RangeError if the array's length is not the product of the shape
 */
export function fromTypedArray(
  values: ArrayBufferView,
  shape: Shape,
  options: TensorOptions & { readonly copy?: boolean } = {},
): Tensor {
  checkOptions('fromTypedArray', options, arrayKinds);
  const dtype = options.dtype ?? dtypeOfArray(values);
  if (dtype === undefined) {
    throw new TypeError(
      `fromTypedArray: got ${values.constructor.name}, which no tensor type has. Give its dtype, or convert it.`,
    );
  }
  const handle =
    options.copy === false
      ? native.borrowBytes(values, dtype, shape)
      : native.fromBytes(values, dtype, shape);
  return finish(Tensor.wrap(handle), options);
}

export function empty(shape: Shape, options: TensorOptions = {}): Tensor {
  checkOptions('empty', options, tensorKinds);
  return finish(ops.empty(shape, options.dtype, options.device), options);
}

export function zeros(shape: Shape, options: TensorOptions = {}): Tensor {
  checkOptions('zeros', options, tensorKinds);
  return finish(ops.zeros(shape, options.dtype, options.device), options);
}

export function ones(shape: Shape, options: TensorOptions = {}): Tensor {
  checkOptions('ones', options, tensorKinds);
  return finish(ops.ones(shape, options.dtype, options.device), options);
}

export function full(shape: Shape, value: number, options: TensorOptions = {}): Tensor {
  checkOptions('full', options, tensorKinds);
  return finish(ops.full(shape, value, options.dtype ?? 'float32', options.device), options);
}

/** Numbers from `start` (default `0`) up to, not including, `end`. */
export function arange(start: number, end?: number, step = 1, options: TensorOptions = {}): Tensor {
  checkOptions('arange', options, tensorKinds);
  const [from, to] = end === undefined ? [0, start] : [start, end];
  return finish(ops.arange(from, to, step, options.dtype ?? 'float32', options.device), options);
}

export function linspace(
  start: number,
  end: number,
  steps: number,
  options: TensorOptions = {},
): Tensor {
  checkOptions('linspace', options, tensorKinds);
  return finish(ops.linspace(start, end, steps, options.dtype, options.device), options);
}

export function eye(n: number, options: TensorOptions = {}): Tensor {
  checkOptions('eye', options, tensorKinds);
  return finish(ops.eye(n, options.dtype, options.device), options);
}

/** Uniform on [0, 1). */
export function rand(shape: Shape, options: RandomOptions = {}): Tensor {
  checkOptions('rand', options, randomKinds);
  return finish(ops.rand(shape, options.generator, options.dtype, options.device), options);
}

/** Standard normal. */
export function randn(shape: Shape, options: RandomOptions = {}): Tensor {
  checkOptions('randn', options, randomKinds);
  return finish(ops.randn(shape, options.generator, options.dtype, options.device), options);
}

/** Integers from `low` up to, not including, `high`; int64 unless another dtype is given. */
export function randint(
  low: number,
  high: number,
  shape: Shape,
  options: RandomOptions = {},
): Tensor {
  checkOptions('randint', options, randomKinds);
  const dtype = options.dtype ?? 'int64';
  return finish(ops.randint(low, high, shape, options.generator, dtype, options.device), options);
}

/** 0 to n-1 in random order, int64. */
export function randperm(n: number, options: RandomOptions = {}): Tensor {
  checkOptions('randperm', options, randomKinds);
  return finish(
    ops.randperm(n, options.generator, options.dtype ?? 'int64', options.device),
    options,
  );
}

export function cat(tensors: readonly Tensor[], dim = 0): Tensor {
  return ops.cat(tensors, dim);
}

export function stack(tensors: readonly Tensor[], dim = 0): Tensor {
  return ops.stack(tensors, dim);
}

export function where(condition: Tensor, a: Tensor, b: Tensor): Tensor {
  return ops.where(condition, a, b);
}

export function zerosLike(like: Tensor): Tensor {
  return ops.zerosLike(like);
}

export function onesLike(like: Tensor): Tensor {
  return ops.onesLike(like);
}
