// What tells whether tensors still have the values that another form was made of, beside which native tensors they are.
import { callOperator } from './dispatch.js';
import type { Tensor } from './tensor.js';

/** The sum of the tensors' versions, which every change in place counts up; one call for all. */
export const versionOf = (tensors: readonly Tensor[]): number =>
  callOperator('mamba_prune::weights_version', tensors) as number;
