// A whole block of Vim as one operator, for inference on the CPU.
import { callOperator } from '../dispatch.js';
import type { Tensor } from '../tensor.js';

/** The parameters of one block of Vim (Zhu et al. 2024, arXiv 2401.09417), float32. */
export interface VimBlockWeights {
  /** Shape [dModel]. */
  readonly norm: Tensor;
  /** Shape [2 dInner, dModel]. */
  readonly inProj: Tensor;
  /**
   * For each of one or two directions: convolution's weight [dInner, 1, dConv] and bias [dInner], x_proj [dtRank + 2 dState, dInner],
   * dt_proj's weight [dInner, dtRank] and bias [dInner], A_log [dInner, dState], D [dInner].
   */
  readonly scans: readonly Tensor[];
  /** Shape [dModel, dInner]. */
  readonly outProj: Tensor;
}

/**
 * x + outProj(scale * sum of the gated scans of inProj(RMSNorm(x))), the second direction from the end; scale is 1 with one
 * direction. For inference in float32. It computes what the single operators do, up to the rounding of sums.
 *
 * @param x - shape [batch, length, dModel]; the result has the same shape
 * @param weights - inProj, outProj and each x_proj may be what `packWeights` makes of [1, out, in] instead: the result is the same, and
 *   transposing them is spared
 * @param eps - of the RMSNorm
 * @param scale - of the sum over two directions. Default `0.5`
 * @throws TorchError for tensors that require gradients while they are recorded, other types or shapes
 */
export function vimBlock(x: Tensor, weights: VimBlockWeights, eps: number, scale = 0.5): Tensor {
  const { norm, inProj, scans, outProj } = weights;
  return callOperator(
    'mamba_prune::vim_block',
    x,
    norm,
    inProj,
    scans,
    outProj,
    eps,
    scale,
  ) as Tensor;
}
