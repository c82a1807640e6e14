// Root mean square normalisation (Zhang and Sennrich 2019, arXiv 1910.07467): y = x / sqrt(mean(x²) + eps) * weight.
import { type DType, F, type Tensor, nn, ones } from '@mamba-prune/libtorch';

export class RmsNorm extends nn.Module {
  readonly eps: number;
  /** Shape [width]. */
  readonly weight: Tensor;

  /** @param eps - added to the mean square */
  constructor(width: number, eps: number) {
    super();
    this.eps = eps;
    this.weight = this.parameter('weight', ones([width]));
  }

  /**
   * Computed in float32 at least, whatever the types.
   * @param x - shape [..., width]
   * @param dtype - of the result, which has the same shape. Default that of `x`
   */
  override forward(x: Tensor, dtype: DType = x.dtype): Tensor {
    const normed = F.rmsNorm(F.atLeastFloat32(x), this.weight, { eps: this.eps });
    return normed.dtype === dtype ? normed : normed.to(dtype);
  }
}
