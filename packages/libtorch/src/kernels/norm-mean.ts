// What a classifier reads of a sequence: the mean of its normalised tokens.
import { callOperator, hasOperator } from '../dispatch.js';
import type { Tensor } from '../tensor.js';
import { layerNorm, meanFloat32 } from '../nn/functional.js';
import type { BranchNorm } from './fused-branches.js';

/** Of a row that the kernel takes. */
const widest = 1024;

/**
 * The mean over tokens of their layer normalisation. On a GPU it is one operator each way, and the normalised tokens reach no
 * memory.
 *
 * @param x - shape [batch, length, channels]
 * @returns float32 [batch, channels]
 */
export function normMean(x: Tensor, { weight, bias, eps }: BranchNorm): Tensor {
  const operator = 'mamba_prune::norm_mean';
  const fits = x.device.startsWith('cuda') && x.dtype !== 'float64' && x.size(2) <= widest;
  if (fits && weight && bias && hasOperator(operator)) {
    return callOperator(operator, x, weight, bias, eps) as Tensor;
  }
  return meanFloat32(layerNorm(x, [x.size(2)], { weight, bias: bias ?? null, eps }), 1);
}
