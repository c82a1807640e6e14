// All blocks of a vision Mamba as one operator, for inference on a GPU: a block's MLP and the next block's
// in-projection are one kernel, whose weights are packed once in the order in which it reads them.
import { callOperator, hasOperator } from '../dispatch.js';
import type { Tensor } from '../tensor.js';
import type { BranchWeights } from './fused-branches.js';
import type { LayerNorm } from '../nn/norm.js';
import { type TokenOrder, sideOf } from '../nn/token-order.js';

/** One block: x = x + ssm(norm1(x)), x = x + mlp(norm2(x)); the weights as for `ssmBranch` and `mlpBranch`. */
export interface FusedBlock {
  /** What is done to the order of the tokens before it. */
  readonly reorder?: TokenOrder | undefined;
  readonly norm1: LayerNorm;
  readonly ssm: BranchWeights;
  readonly norm2: LayerNorm;
  readonly mlp: BranchWeights;
}

/**
 * Whether the operator is there for activations like a tensor (its device and type) and a d_model: 128 or 192 in
 * 16 bits on a GPU of compute capability 9.0 (Hopper).
 */
export function hasFusedBlocks(like: Tensor, dModel: number): boolean {
  if (!like.device.startsWith('cuda') || !hasOperator('mamba_prune::mamba_blocks')) return false;
  return callOperator('mamba_prune::mamba_blocks_run', like, dModel) as boolean;
}

/**
 * The weights of a block's MLP, of its normalisation, and of the next block's in-projection and its
 * normalisation, as the kernel reads them. They are those of now: made again after every change.
 * @returns uint8 [units, bytes]
 */
export function packUnits(block: FusedBlock, next?: FusedBlock): Tensor {
  const [fc1, bias1, fc2] = block.mlp.weights;
  const { weight, bias } = block.norm2;
  const of = [weight, bias, fc1, bias1, fc2];
  const after = [next?.norm1.weight, next?.norm1.bias, next?.ssm.weights[0]];
  return callOperator('mamba_prune::mlp_units', ...of, ...after, block.mlp.packed[0]) as Tensor;
}

/**
 * @param x - shape [batch, length, dModel], of the type of the packed weights; the result is like it
 * @param units - of `packUnits`, one for every block
 */
export function mambaBlocks(
  x: Tensor,
  blocks: readonly FusedBlock[],
  units: readonly Tensor[],
): Tensor {
  const eps = blocks[0]?.norm1.eps;
  const weights = blocks.flatMap(({ norm1, norm2, ssm, mlp }) => [
    norm1.weight,
    norm1.bias,
    norm2.weight,
    norm2.bias,
    ...ssm.weights,
    ...mlp.weights,
  ]);
  const packed = blocks.flatMap(({ ssm, mlp }) => [...ssm.packed, ...mlp.packed]);
  const orders = blocks.map(({ reorder }) => (reorder ? sideOf(reorder, x.size(1)) : -1));
  return callOperator(
    'mamba_prune::mamba_blocks',
    x,
    eps,
    weights,
    packed,
    units,
    orders,
  ) as Tensor;
}
