// The selective state space model; mamba/model.ts has the papers and the names.
//
//   [x, z]     = in_proj(input)                         two halves of dInner channels
//   u          = silu(conv1d(x))                        depthwise and causal
//   [r, B, C]  = x_proj(u)                              dtRank, dState and dState numbers for each position
//   Δ          = softplus(dt_proj(r))                   a step size for each position and channel
//   A          = -exp(A_log)
//   h_t        = exp(Δ_t A) h_{t-1} + Δ_t B_t u_t       dState numbers for each channel; h_0 = 0
//   y_t        = C_t h_t + D u_t
//   output     = out_proj(y silu(z))
//
// With two directions, everything from conv1d to D exists twice. The second one sees the sequence from its end, and the
// gated outputs of both are added before out_proj, or their mean is taken (`halved`).
import { F, type Tensor, arange, nn, noGrad, ones, ops, rand } from '@mamba-prune/libtorch';
import type { GroupProbe } from '../image-model.js';
import { Branch } from './residual.js';

export interface SsmSizes {
  readonly dModel: number;
  readonly dInner: number;
  readonly dState: number;
  readonly dConv: number;
  readonly dtRank: number;
}

/** Names of a direction's parts in the state dict. */
export interface DirectionNames {
  readonly conv1d: string;
  readonly xProj: string;
  readonly dtProj: string;
  readonly aLog: string;
  readonly d: string;
}

const forwardNames: DirectionNames = {
  conv1d: 'conv1d',
  xProj: 'x_proj',
  dtProj: 'dt_proj',
  aLog: 'A_log',
  d: 'D',
};

/** As in Vision Mamba's checkpoints. */
const backwardNames: DirectionNames = {
  conv1d: 'conv1d_b',
  xProj: 'x_proj_b',
  dtProj: 'dt_proj_b',
  aLog: 'A_b_log',
  d: 'D_b',
};

/** What one direction of the scan has to itself. */
export interface ScanDirection {
  readonly names: DirectionNames;
  /** Weight of shape [dInner, 1, dConv]. */
  readonly conv1d: nn.Conv1d;
  /** From dInner to dtRank + 2 dState, without bias. */
  readonly xProj: nn.Linear;
  /** From dtRank to dInner. */
  readonly dtProj: nn.Linear;
  /** log(-A), shape [dInner, dState]. */
  readonly aLog: Tensor;
  /** Shape [dInner]. */
  readonly d: Tensor;
}

export interface SsmOptions {
  /** Whether there is a second direction. Default `false`. */
  readonly bidirectional?: boolean;
  /** Whether out_proj reads the mean of two directions in place of their sum. Default `false`. */
  readonly halved?: boolean;
}

/** The units of this branch are the dInner channels. */
export class SelectiveSsm extends Branch {
  readonly inProj: nn.Linear;
  readonly outProj: nn.Linear;
  /** One or two; the forward one first. */
  readonly scans: readonly [ScanDirection, ...ScanDirection[]];

  readonly sizes: SsmSizes;
  /** Whether two directions are averaged. */
  readonly halved: boolean;

  constructor(sizes: SsmSizes, { bidirectional = false, halved = false }: SsmOptions = {}) {
    super();
    this.halved = halved;
    this.sizes = sizes;
    const { dModel, dInner } = sizes;
    this.inProj = this.child('in_proj', new nn.Linear(dModel, 2 * dInner, { bias: false }));
    const forward = this.#direction(forwardNames);
    this.scans = bidirectional ? [forward, this.#direction(backwardNames)] : [forward];
    this.outProj = this.child('out_proj', new nn.Linear(dInner, dModel, { bias: false }));
  }

  #direction(names: DirectionNames): ScanDirection {
    const { dInner, dState, dConv, dtRank } = this.sizes;
    const conv1d = new nn.Conv1d(dInner, dInner, dConv, { groups: dInner, padding: dConv - 1 });
    const xProj = new nn.Linear(dInner, dtRank + 2 * dState, { bias: false });
    const dtProj = new nn.Linear(dtRank, dInner);
    noGrad(() => {
      initDtProj(dtProj, dInner, dtRank);
    });
    // S4D-real: A = -(1, 2, ..., N) for every channel.
    const states = noGrad(() =>
      arange(1, dState + 1)
        .log()
        .repeat(dInner, 1),
    );
    const aLog = this.parameter(names.aLog, states);
    const d = this.parameter(names.d, ones([dInner]));
    this.child(names.conv1d, conv1d);
    this.child(names.xProj, xProj);
    this.child(names.dtProj, dtProj);
    return { names, conv1d, xProj, dtProj, aLog, d };
  }

  override get reader(): nn.Linear {
    return this.outProj;
  }

  /** @returns the gated scan, shape [batch, length, dInner] */
  override inner(input: Tensor, probe?: GroupProbe): Tensor {
    const { dInner } = this.sizes;
    const xz = this.inProj.forward(input);
    const x = xz.narrow(-1, 0, dInner);
    const z = xz.narrow(-1, dInner, dInner);
    const [forward, backward] = this.scans;
    let y = this.#scan(forward, x, z, probe);
    if (backward) y = y.add(this.#scan(backward, x.flip(1), z.flip(1), probe).flip(1));
    if (backward && this.halved) y = y.mul(0.5);
    probe?.output(y, 2);
    return y;
  }

  /**
   * @param x - shape [batch, length, dInner], a view
   * @param z - the gate, same shape
   * @param probe - its gate is at u: where that is 0, so are x_proj's column, the scan and the skip D u
   * @returns y silu(z), same shape
   */
  #scan(direction: ScanDirection, x: Tensor, z: Tensor, probe?: GroupProbe): Tensor {
    const { conv1d, xProj, dtProj, aLog, d } = direction;
    const { dtRank, dState } = this.sizes;
    const convolved = F.causalConv1d(x, conv1d.weight, { bias: conv1d.bias });
    const u = probe?.gate(convolved, 2) ?? convolved;
    const selection = xProj.forward(u);
    const delta = F.linear(selection.narrow(-1, 0, dtRank), dtProj.weight);
    const A = aLog.exp().neg();
    const B = selection.narrow(-1, dtRank, dState);
    const C = selection.narrow(-1, dtRank + dState, dState);
    // Bias and softplus of Δ, and silu of the gate, are applied inside.
    const scanned = F.selectiveScan(u, delta, A, B, C, {
      D: d,
      z,
      deltaBias: dtProj.bias,
      deltaSoftplus: true,
    });
    return scanned.y;
  }
}

/** Step sizes Δ start log-uniform in this range. */
const dtMin = 1e-3;
const dtMax = 0.1;

/** Δ = softplus(bias) is log-uniform at the start: section 3.6 of the Mamba's paper, and the official code. */
function initDtProj(dtProj: nn.Linear, dInner: number, dtRank: number): void {
  const bound = dtRank ** -0.5;
  ops.uniform_(dtProj.weight, -bound, bound);
  const span = Math.log(dtMax) - Math.log(dtMin);
  const dt = rand([dInner]).mul(span).add(Math.log(dtMin)).exp().clamp(1e-4);
  // The inverse of softplus: x = dt + log(1 - exp(-dt)).
  dtProj.bias?.copy_(dt.add(dt.neg().expm1().neg().log()));
}
