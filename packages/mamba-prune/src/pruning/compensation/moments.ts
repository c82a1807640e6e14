// Sums over positions from which a ridge regression is solved, and judged: no activation is kept, and the sums are float64.
import { type Tensor, eye, noGrad, ops, scope, zeros } from '@mamba-prune/libtorch';

/** A linear map from `inputs` to `outputs` features, float64. The caller disposes both. */
export interface LinearMap {
  /** Shape [outputs, inputs]. */
  readonly weight: Tensor;
  /** Shape [outputs]; zero where no intercept was asked for. */
  readonly bias: Tensor;
}

/** Second moments of inputs x and targets t over the positions that were added. */
export class Moments {
  #positions = 0;
  /** Sum of x xᵀ. */
  readonly #inputs: Tensor;
  /** Sum of x tᵀ. */
  readonly #cross: Tensor;
  /** Sum of t tᵀ. */
  readonly #targets: Tensor;
  readonly #inputSum: Tensor;
  readonly #targetSum: Tensor;

  constructor(inputs: number, outputs: number, device: string) {
    const sum = (...shape: number[]): Tensor => zeros(shape, { dtype: 'float64', device }).keep();
    this.#inputs = sum(inputs, inputs);
    this.#cross = sum(inputs, outputs);
    this.#targets = sum(outputs, outputs);
    this.#inputSum = sum(inputs);
    this.#targetSum = sum(outputs);
  }

  /**
   * @param x - float64 [positions, inputs]
   * @param t - float64 [positions, outputs]
   */
  add(x: Tensor, t: Tensor): void {
    noGrad(() => {
      scope(() => {
        const xt = x.t();
        this.#inputs.add_(xt.mm(x));
        this.#cross.add_(xt.mm(t));
        this.#targets.add_(t.t().mm(t));
        this.#inputSum.add_(x.sum(0));
        this.#targetSum.add_(t.sum(0));
      });
    });
    this.#positions += x.size(0);
  }

  /**
   * The map M, b that minimises the sum of |t - M x - b|² + λ |M|², λ being `ridge` times the mean diagonal of the sum
   * of x xᵀ. With an intercept both sums are taken around the means.
   * @returns undefined where the equations have no solution: all inputs are zero, or not finite
   */
  solve(ridge: number, intercept: boolean): LinearMap | undefined {
    return noGrad(() =>
      scope(() => {
        const n = this.#positions;
        const centre = (sum: Tensor, a: Tensor, b: Tensor): Tensor =>
          intercept ? sum.sub(a.unsqueeze(1).mm(b.unsqueeze(0)).div(n)) : sum;
        const xx = centre(this.#inputs, this.#inputSum, this.#inputSum);
        const xt = centre(this.#cross, this.#inputSum, this.#targetSum);
        const size = xx.size(0);
        const identity = eye(size, { dtype: 'float64', device: xx.device });
        const level = xx.mul(identity).sum().item() / size;
        if (!(level > 0) || !Number.isFinite(level)) return undefined;
        const [factor, info] = ops.linalgCholeskyEx(xx.add(identity.mul(ridge * level)));
        if (info.item() !== 0) return undefined;
        const weight = ops.choleskySolve(xt, factor).t().contiguous();
        const offset = this.#targetSum
          .sub(weight.mm(this.#inputSum.unsqueeze(1)).squeeze(1))
          .div(n);
        return { weight, bias: intercept ? offset : offset.mul(0) };
      }),
    );
  }

  /**
   * Sum over positions of |Q (t - M x - b)|².
   * @param map - nothing stands for M = 0, b = 0
   * @param metric - QᵀQ, [outputs, outputs]. By default the identity.
   */
  squares(map: LinearMap | undefined, metric?: Tensor): number {
    return noGrad(() =>
      scope(() => {
        const left = map ? this.#residual(map) : this.#targets;
        const identity = eye(left.size(0), { dtype: 'float64', device: left.device });
        return left
          .mul(metric ?? identity)
          .sum()
          .item();
      }),
    );
  }

  /** Sum of r rᵀ for r = t - M x - b. */
  #residual({ weight, bias }: LinearMap): Tensor {
    const column = (v: Tensor): Tensor => v.unsqueeze(1);
    const b = column(bias);
    const mx = weight.mm(column(this.#inputSum));
    const sums: readonly (readonly [Tensor, number])[] = [
      [weight.mm(this.#cross), -1],
      [weight.mm(this.#inputs).mm(weight.t()), 0.5],
      [b.mm(column(this.#targetSum).sub(mx).t()), -1],
      [b.mm(b.t()), this.#positions / 2],
    ];
    // Each of them stands there with its transpose.
    return sums.reduce(
      (total, [part, factor]) => total.add(part.add(part.t()).mul(factor)),
      this.#targets,
    );
  }

  dispose(): void {
    for (const sum of [this.#inputs, this.#cross, this.#targets]) sum.dispose();
    this.#inputSum.dispose();
    this.#targetSum.dispose();
  }
}
