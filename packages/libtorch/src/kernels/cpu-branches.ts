// The two branches of a block of the vision Mamba as one operator each, for training on the CPU in float32: forward and
// backward passes written out, with the normalisation and the residual inside.
import { callOperator } from '../dispatch.js';
import type { Tensor } from '../tensor.js';
import type { BranchNorm } from './fused-branches.js';

/**
 * x + scale * out_proj(ssm(norm(x))) with LayerNorm and one direction of the scan, and at most `F.kernelLimits.convTaps` taps.
 * It has first derivatives only.
 *
 * @param x - float32 [batch, length, dModel] on the CPU; the result is like it
 * @param weights - as in `ssmBranch`: in_proj, out_proj, conv1d's weight and bias, x_proj, dt_proj's weight and bias, A_log, D
 * @param scale - [batch], a factor of the branch for each entry (drop path); 1 without it
 */
export function ssmBranchOnCpu(
  x: Tensor,
  norm: BranchNorm,
  weights: readonly Tensor[],
  scale?: Tensor,
): Tensor {
  return branch('mamba_prune::ssm_branch', x, norm, weights, scale);
}

/**
 * x + scale * fc2(gelu(fc1(norm(x)))) with LayerNorm and the exact GELU. It has first derivatives only.
 *
 * @param x - as in `ssmBranchOnCpu`, like `scale`
 * @param weights - as in `mlpBranch`: fc1 weight and bias, fc2 weight and bias
 */
export function mlpBranchOnCpu(
  x: Tensor,
  norm: BranchNorm,
  weights: readonly Tensor[],
  scale?: Tensor,
): Tensor {
  return branch('mamba_prune::mlp_branch', x, norm, weights, scale);
}

function branch(
  operator: string,
  x: Tensor,
  { weight, bias, eps }: BranchNorm,
  weights: readonly Tensor[],
  scale?: Tensor,
): Tensor {
  return callOperator(operator, x, weight, bias, eps, weights, scale) as Tensor;
}
