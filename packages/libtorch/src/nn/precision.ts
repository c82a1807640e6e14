// What layers do about activations of 16 bits. Weights stay float32; an operator that wants one type
// for all is given the weight's copy, or the weight converted, with the gradient going to the weight.
import { callOperator } from '../dispatch.js';
import type { DType } from '../dtype.js';
import * as ops from '../generated/ops.js';
import type { Tensor } from '../tensor.js';
import { copyOf, isLowPrecision } from '../weight-copies.js';

/**
 * A weight as it goes with activations of a type: itself, unless these have 16 bits and it has not.
 * Then its copy (`WeightCopies`), or else the weight converted. Gradients reach the weight, in its type.
 */
export function weightFor(weight: Tensor, dtype: DType): Tensor;
export function weightFor(weight: Tensor | null | undefined, dtype: DType): Tensor | null;
export function weightFor(weight: Tensor | null | undefined, dtype: DType): Tensor | null {
  if (!weight || !isLowPrecision(dtype) || weight.dtype === dtype) return weight ?? null;
  const copy = copyOf(weight, dtype);
  if (!copy) return weight.to(dtype);
  return callOperator('mamba_prune::weight_copy', weight, copy) as Tensor;
}

/** A tensor of 16-bit floats as float32; any other one itself. Sums over many values need it. */
export function atLeastFloat32(x: Tensor): Tensor {
  return isLowPrecision(x.dtype) ? x.to('float32') : x;
}

/** The mean over dimensions, with a result of float32 where x has 16 bits: one pass, no copy of x. */
export function meanFloat32(x: Tensor, dim: number | readonly number[]): Tensor {
  return ops.meanDim(x, dim, false, isLowPrecision(x.dtype) ? 'float32' : undefined);
}

/** As `atLeastFloat32`, for what may be missing. */
export function maybeFloat32(x: Tensor | null | undefined): Tensor | null {
  return x ? atLeastFloat32(x) : null;
}

/**
 * Whether a kernel of ours has to be given float32 in place of these activations: those of the CPU
 * know no types of 16 bits.
 */
export function needsFloat32(x: Tensor): boolean {
  return isLowPrecision(x.dtype) && x.device === 'cpu';
}
