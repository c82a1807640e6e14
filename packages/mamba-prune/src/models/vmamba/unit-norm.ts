// LayerNorm over units that pruning removes. A model without some of them has mean and variance over those that are left;
// so has a model here in which they are masked or gated away.
import { F, type Tensor, nn, noGrad, ones, zeros } from '@mamba-prune/libtorch';

export class UnitNorm extends nn.LayerNorm {
  #kept: readonly number[] | undefined;

  /**
   * Takes mean and variance over these units from now on; the others give 0. It is no weight: a file does not have it.
   * @param units - undefined for all
   */
  keep(units: readonly number[] | undefined): void {
    this.#kept = units;
  }

  /**
   * @param x - shape [..., units]
   * @param gates - one factor for each unit, shape [1, ..., 1, units]: a unit of gate 0 takes no part, as if it were not
   *   there, and 1 for all of them is plain LayerNorm
   */
  override forward(x: Tensor, gates?: Tensor): Tensor {
    const mask = this.#mask(x);
    const shares = gates && mask ? gates.mul(mask) : (gates ?? mask);
    return shares ? this.#weighted(x, shares) : super.forward(x);
  }

  #mask(x: Tensor): Tensor | undefined {
    const units = this.#kept;
    if (!units) return undefined;
    const place = { dtype: x.dtype, device: x.device };
    return noGrad(() => {
      const mask = zeros([x.size(-1)], place);
      for (const unit of units) mask.narrow(0, unit, 1).copy_(ones([1], place));
      return mask;
    });
  }

  #weighted(x: Tensor, shares: Tensor): Tensor {
    const [values, weights] = [F.atLeastFloat32(x), F.atLeastFloat32(shares)];
    const count = weights.sum([-1], true);
    const mean = (of: Tensor): Tensor => of.mul(weights).sum([-1], true).div(count);
    const centred = values.sub(mean(values));
    const normed = centred.div(mean(centred.mul(centred)).add(this.eps).sqrt());
    const scaled = normed.mul(this.weight as Tensor).add(this.bias as Tensor);
    return scaled.mul(weights).to(x.dtype);
  }
}
