// The tensor that a value of a pickle is or wraps.
import { NumpyArray } from './numpy-array.js';
import { TorchTensor } from './torch-tensor.js';
import type { PickleValue } from './values.js';

/** The tensor that a value is: one of torch, or an array of numpy. */
export function tensorOf(value: PickleValue | undefined): TorchTensor | undefined {
  if (value instanceof TorchTensor) return value;
  return value instanceof NumpyArray ? value.tensor : undefined;
}
