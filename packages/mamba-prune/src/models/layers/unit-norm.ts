// LayerNorm over units that pruning removes: its mean and variance may weigh them, so that units which are masked, gated
// away or shrinking count there as little as they will once they are cut.
import { F, type Tensor, nn, ones } from '@mamba-prune/libtorch';
import type { UnitWeights } from '../image-model.js';

export class UnitNorm extends nn.LayerNorm implements UnitWeights {
  readonly #shares: Tensor;
  #isWeighing = false;

  /** @param units - size of the last dimension */
  constructor(units: number) {
    super(units);
    this.#shares = this.buffer('shares', ones([units]), { persistent: false });
  }

  weigh(): Tensor {
    this.#isWeighing = true;
    return this.#shares;
  }

  unweigh(): void {
    this.#isWeighing = false;
    this.#shares.fill_(1);
  }

  get isWeighing(): boolean {
    return this.#isWeighing;
  }

  /**
   * @param x - shape [..., units]
   * @param gates - one factor for each unit, shape [1, ..., 1, units]: what the unit gives is multiplied by it, and its share
   *   too, so that a unit of gate 0 is as if it were not there
   */
  override forward(x: Tensor, gates?: Tensor): Tensor {
    const shares = this.#isWeighing ? this.#shares : undefined;
    const weights = gates && shares ? gates.mul(shares) : (gates ?? shares);
    if (!weights) return super.forward(x);
    const y = this.#weighted(x, weights);
    return gates ? y.mul(gates) : y;
  }

  #weighted(x: Tensor, shares: Tensor): Tensor {
    const [values, weights] = [F.atLeastFloat32(x), F.atLeastFloat32(shares)];
    const count = weights.sum([-1], true);
    const mean = (of: Tensor): Tensor => of.mul(weights).sum([-1], true).div(count);
    const centred = values.sub(mean(values));
    const normed = centred.div(mean(centred.mul(centred)).add(this.eps).sqrt());
    return normed
      .mul(this.weight as Tensor)
      .add(this.bias as Tensor)
      .to(x.dtype);
  }
}
