// The two branches of a block of the vision Mamba as one operator each, on a GPU: forward and backward
// passes written out, with the normalisation, the residual and the activations inside.
import { callOperator, hasOperator } from '../dispatch.js';
import type { Tensor } from '../tensor.js';

/** Whether the operators are there for tensors of a device. */
export function hasFusedBranches(device: string): boolean {
  return device.startsWith('cuda') && hasOperator('mamba_prune::ssm_block');
}

/** The normalisation in front of a branch. */
export interface BranchNorm {
  /** Shape [dModel], float32. */
  readonly weight: Tensor | null;
  /** Of LayerNorm, like the weight; without it the normalisation is RMSNorm, which only `ssmBranch` has. */
  readonly bias?: Tensor | null;
  readonly eps: number;
}

/** The weights of a branch, twice. */
export interface BranchWeights {
  /** Parameters in float32, which the gradients are for. */
  readonly weights: readonly Tensor[];
  /**
   * What the matrix products read: of the branch's type, rows and columns padded with zeros as the
   * branch describes. In float32 without padding the parameters themselves. Behind them there may be units
   * (`makeBranchUnits`), which a training step then does not make again.
   */
  readonly packed: readonly Tensor[];
}

/**
 * x + scale * out_proj(ssm(norm(x))), with one or two scan directions.
 *
 * `weights`: in_proj [2 dInner, dModel], out_proj [dModel, dInner], then for each direction conv1d weight
 * [dInner, 1, dConv] and bias [dInner], x_proj [dtRank + 2 dState, dInner], dt_proj weight [dInner, dtRank] and
 * bias [dInner], A_log [dInner, dState], D [dInner]. `packed`, with dInner padded to W and dtRank to R: in_proj
 * [2 W, dModel] (the gate's half from row W on), out_proj [dModel, W], then for each direction x_proj [P, W] (B and C
 * from row R on) and dt_proj [W, R].
 *
 * @param x - shape [batch, length, dModel], float32, float16 or bfloat16; the result is like it. Under RMSNorm it is a residual
 *   stream in float32, and the branch computes in the type of `packed`
 * @param scale - float32 [batch], a factor of the branch for each entry (drop path, the mean of two directions); 1 without it
 */
export function ssmBranch(
  x: Tensor,
  norm: BranchNorm,
  weights: BranchWeights,
  scale?: Tensor,
): Tensor {
  return branch('mamba_prune::ssm_block', x, norm, weights, scale);
}

/**
 * x + scale * fc2(gelu(fc1(norm(x)))). In 16 bits GELU is its tanh form, which is nearer to the exact one
 * (5e-4 at most) than neighbouring numbers of bfloat16 are to each other where it differs most.
 *
 * `weights`: fc1 weight [neurons, dModel] and bias, fc2 weight [dModel, neurons] and bias; `packed` the same
 * with neurons padded.
 *
 * @param x - as in `ssmBranch`, like `scale`
 */
export function mlpBranch(
  x: Tensor,
  norm: BranchNorm,
  weights: BranchWeights,
  scale?: Tensor,
): Tensor {
  return branch('mamba_prune::mlp_block', x, norm, weights, scale);
}

function branch(
  operator: string,
  x: Tensor,
  { weight, bias, eps }: BranchNorm,
  { weights, packed }: BranchWeights,
  scale?: Tensor,
): Tensor {
  return callOperator(operator, x, weight, bias ?? null, eps, weights, packed, scale) as Tensor;
}
