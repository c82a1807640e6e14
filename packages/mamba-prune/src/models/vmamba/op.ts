// The mixer of a VMamba's block: a scan over the grid in four directions; model.ts has the paper and the names.
//
//   u          = silu(conv2d(in_proj(input)))               depthwise 3x3
//   [r, B, C]  = x_proj_weight[k] u                         for each direction k: dtRank, dState and dState numbers
//   Δ          = softplus(dt_projs_weight[k] r + dt_projs_bias[k])
//   y_k        = the selective scan of u along direction k, with A_logs and Ds of k
//   output     = out_proj(out_norm(y_0 + y_1 + y_2 + y_3))
import { F, type Tensor, nn, noGrad, ones, rand, zeros } from '@mamba-prune/libtorch';
import * as kernels from '@mamba-prune/libtorch/kernels';
import type { GroupProbe } from '../image-model.js';
import { Branch } from '../layers/residual.js';
import { UnitNorm } from '../layers/unit-norm.js';

export interface OpSizes {
  readonly dModel: number;
  readonly dInner: number;
  readonly dState: number;
  readonly dtRank: number;
}

/** Rows, columns, and both reversed. */
export const directions = 4;

/** The units of this branch are the dInner channels. */
export class CrossScanOp extends Branch {
  readonly sizes: OpSizes;
  /** Shape [4, dtRank + 2 dState, dInner]. */
  readonly xProj: Tensor;
  /** Shape [4, dInner, dtRank]. */
  readonly dtProjs: Tensor;
  /** Shape [4, dInner]. */
  readonly dtBias: Tensor;
  /** log(-A), shape [4 dInner, dState]: direction after direction. */
  readonly aLogs: Tensor;
  /** Shape [4 dInner]. */
  readonly skips: Tensor;
  readonly inProj: nn.Linear;
  /** Without bias. */
  readonly conv2d: nn.Conv2d;
  readonly outNorm: UnitNorm;
  readonly outProj: nn.Linear;

  constructor(sizes: OpSizes) {
    super();
    this.sizes = sizes;
    const { dModel, dInner, dState, dtRank } = sizes;
    const uniform = (shape: readonly number[], bound: number): Tensor =>
      noGrad(() => rand(shape).mul(2).sub(1).mul(bound));
    this.xProj = this.parameter(
      'x_proj_weight',
      uniform([directions, dtRank + 2 * dState, dInner], dInner ** -0.5),
    );
    this.dtProjs = this.parameter(
      'dt_projs_weight',
      uniform([directions, dInner, dtRank], dtRank ** -0.5),
    );
    this.dtBias = this.parameter('dt_projs_bias', initialSteps([directions, dInner]));
    // S4D-real: A = -(1, 2, ..., N) for every channel.
    const states = noGrad(() =>
      ones([1, dState])
        .cumsum(1)
        .log()
        .repeat(directions * dInner, 1),
    );
    this.aLogs = this.parameter('A_logs', states);
    this.skips = this.parameter('Ds', ones([directions * dInner]));
    this.inProj = this.child('in_proj', new nn.Linear(dModel, dInner, { bias: false }));
    this.conv2d = this.child(
      'conv2d',
      new nn.Conv2d(dInner, dInner, 3, { padding: 1, groups: dInner, bias: false }),
    );
    this.outNorm = this.child('out_norm', new UnitNorm(dInner));
    this.outProj = this.child('out_proj', new nn.Linear(dInner, dModel, { bias: false }));
  }

  override get reader(): nn.Linear {
    return this.outProj;
  }

  /**
   * @param input - shape [batch, length, dModel], the positions of a square grid row by row
   * @param probe - its gate is at u: where that is 0, so are x_proj's columns, the scans and the skips; and at the norm,
   *   which takes mean and variance over the units that the gate lets pass, as that of a model without the others does
   * @returns the normalised sum of the scans, shape [batch, length, dInner]
   */
  override inner(input: Tensor, probe?: GroupProbe): Tensor {
    const { dInner } = this.sizes;
    const [batch = 0, length = 0] = input.shape;
    const side = Math.sqrt(length);
    const grid = this.inProj.forward(input).reshape(batch, side, side, dInner);
    // Channels stay innermost in memory: only the strides are those of images.
    const convolved = this.conv2d.forward(grid.permute(0, 3, 1, 2)).permute(0, 2, 3, 1);
    const activated = F.silu(convolved).reshape(batch, length, dInner);
    const u = probe?.gate(activated, 2) ?? activated;
    const gates = probe?.gate(ones([1, 1, dInner], { dtype: u.dtype, device: u.device }), 2);
    const y = this.outNorm.forward(this.#scan(u), gates);
    probe?.output(y, 2);
    return y;
  }

  /** @param u - shape [batch, length, dInner]; the result has the same shape */
  #scan(u: Tensor): Tensor {
    const { dInner, dState, dtRank } = this.sizes;
    const [batch = 0, length = 0] = u.shape;
    // Projections work position by position, so one product serves all directions before anything is reordered.
    const rows = dtRank + 2 * dState;
    const selection = F.linear(u, F.weightFor(this.xProj, u.dtype).flatten(0, 1)).reshape(
      batch * length,
      directions,
      rows,
    );
    const steps = selection
      .narrow(2, 0, dtRank)
      .transpose(0, 1)
      .matmul(F.weightFor(this.dtProjs, u.dtype).transpose(1, 2));
    const grid = selection.reshape(batch, length, directions, rows);
    const inputs = {
      u,
      delta: steps.reshape(directions, batch, length, dInner),
      A: this.aLogs.exp().neg(),
      B: grid.narrow(3, dtRank, dState),
      C: grid.narrow(3, dtRank + dState, dState),
      D: this.skips,
      deltaBias: this.dtBias.flatten(),
    };
    return kernels.crossScan(inputs, Math.sqrt(length));
  }
}

/** Step sizes Δ = softplus(bias) start log-uniform in [0.001, 0.1], as in Mamba (arXiv 2312.00752, section 3.6). */
function initialSteps(shape: readonly number[]): Tensor {
  return noGrad(() => {
    const span = Math.log(0.1) - Math.log(1e-3);
    const dt = rand(shape).mul(span).add(Math.log(1e-3)).exp();
    // The inverse of softplus: x = dt + log(1 - exp(-dt)).
    return zeros(shape).add(dt.add(dt.neg().expm1().neg().log()));
  });
}
