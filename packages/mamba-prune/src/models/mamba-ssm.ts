// The selective state space model of Mamba (Gu and Dao 2023, arXiv 2312.00752).
//
// Names to the paper's symbols: dInner = E*D (channels), dState = N, dtRank = R, delta = Δ,
// A_log = log(-A). The recurrence is eq. 2 with the discretisation of section 3.2:
//   h_t = exp(Δ_t A) h_{t-1} + Δ_t B_t u_t,   y_t = C_t h_t + D u_t
import { F, type Tensor, arange, nn, noGrad, ones, ops, rand } from '@mamba-prune/libtorch';
import type { GroupMember } from '../pruning/groups.js';

export interface SsmSizes {
  readonly dModel: number;
  readonly dInner: number;
  readonly dState: number;
  readonly dConv: number;
  readonly dtRank: number;
}

/** Step sizes Δ start log-uniform in this range. */
const dtMin = 1e-3;
const dtMax = 0.1;

/** The part of an SSM that one scan direction owns: convolution, selection and state matrix. */
class ScanDirection {
  readonly conv1d: nn.Conv1d;
  readonly xProj: nn.Linear;
  readonly dtProj: nn.Linear;

  constructor(
    readonly sizes: SsmSizes,
    readonly aLog: Tensor,
    readonly d: Tensor,
  ) {
    const { dInner, dState, dConv, dtRank } = sizes;
    this.conv1d = new nn.Conv1d(dInner, dInner, dConv, { groups: dInner, padding: dConv - 1 });
    this.xProj = new nn.Linear(dInner, dtRank + 2 * dState, { bias: false });
    this.dtProj = new nn.Linear(dtRank, dInner);
    noGrad(() => {
      initDtProj(this.dtProj, dInner, dtRank);
    });
  }

  /**
   * @param x - the x half of in_proj's output, shape [batch, length, dInner], a view
   * @param z - the gate half, same shape
   * @returns the gated output, same shape
   */
  forward(x: Tensor, z: Tensor): Tensor {
    const { dtRank, dState } = this.sizes;
    const u = F.causalConv1d(x, this.conv1d.weight, { bias: this.conv1d.bias });
    const projected = this.xProj.forward(u);
    const dt = F.linear(projected.narrow(-1, 0, dtRank), this.dtProj.weight);
    const { y } = F.selectiveScan(
      u,
      dt,
      this.aLog.exp().neg(),
      projected.narrow(-1, dtRank, dState),
      projected.narrow(-1, dtRank + dState, dState),
      { D: this.d, z, deltaBias: this.dtProj.bias, deltaSoftplus: true },
    );
    return y;
  }
}

/** dt = softplus(bias) is log-uniform at the start; see section 3.6 and the official code. */
function initDtProj(dtProj: nn.Linear, dInner: number, dtRank: number): void {
  const bound = dtRank ** -0.5;
  ops.uniform_(dtProj.weight, -bound, bound);
  const span = Math.log(dtMax) - Math.log(dtMin);
  const dt = rand([dInner]).mul(span).add(Math.log(dtMin)).exp().clamp(1e-4);
  // The inverse of softplus: x = dt + log(1 - exp(-dt)).
  dtProj.bias?.copy_(dt.add(dt.neg().expm1().neg().log()));
}

/** Names in the state dict; the second direction's end in _b, as in Vision Mamba's checkpoints. */
const suffixes = { forward: '', backward: '_b' } as const;

/** in_proj, one or two scans, out_proj. */
export class SelectiveSsm extends nn.Module {
  readonly inProj: nn.Linear;
  readonly outProj: nn.Linear;
  readonly #scan: ScanDirection;
  readonly #reverse: ScanDirection | undefined;

  constructor(
    readonly sizes: SsmSizes,
    { bidirectional = false }: { readonly bidirectional?: boolean } = {},
  ) {
    super();
    const { dModel, dInner } = sizes;
    this.inProj = this.child('in_proj', new nn.Linear(dModel, 2 * dInner, { bias: false }));
    this.#scan = this.#direction('forward');
    this.#reverse = bidirectional ? this.#direction('backward') : undefined;
    this.outProj = this.child('out_proj', new nn.Linear(dInner, dModel, { bias: false }));
  }

  #direction(which: 'forward' | 'backward'): ScanDirection {
    const { dInner, dState } = this.sizes;
    const suffix = suffixes[which];
    const direction = new ScanDirection(
      this.sizes,
      this.parameter(
        which === 'forward' ? 'A_log' : 'A_b_log',
        // S4D-real: A = -(1, 2, ..., N) for every channel.
        noGrad(() =>
          arange(1, dState + 1)
            .log()
            .repeat(dInner, 1),
        ),
      ),
      this.parameter(`D${suffix}`, ones([dInner])),
    );
    this.child(`conv1d${suffix}`, direction.conv1d);
    this.child(`x_proj${suffix}`, direction.xProj);
    this.child(`dt_proj${suffix}`, direction.dtProj);
    return direction;
  }

  /**
   * @param x - shape [batch, length, dModel]
   * @returns the gated scan before out_proj, shape [batch, length, dInner]
   */
  inner(x: Tensor): Tensor {
    const { dInner } = this.sizes;
    const xz = this.inProj.forward(x);
    const u = xz.narrow(-1, 0, dInner);
    const z = xz.narrow(-1, dInner, dInner);
    const y = this.#scan.forward(u, z);
    return this.#reverse ? y.add(this.#reverse.forward(u.flip(1), z.flip(1)).flip(1)) : y;
  }

  /** @param x - shape [batch, length, dModel]; the result has the same shape */
  override forward(x: Tensor): Tensor {
    return this.outProj.forward(this.inner(x));
  }

  /** Where channel k appears, for a module that is called `prefix` in the state dict. */
  static members(prefix: string, { dInner }: SsmSizes, bidirectional: boolean): GroupMember[] {
    const members: GroupMember[] = [
      { parameter: `${prefix}.in_proj.weight`, dim: 0 },
      { parameter: `${prefix}.in_proj.weight`, dim: 0, offset: dInner },
      { parameter: `${prefix}.out_proj.weight`, dim: 1, scored: true },
    ];
    for (const which of bidirectional
      ? (['forward', 'backward'] as const)
      : (['forward'] as const)) {
      const suffix = suffixes[which];
      members.push(
        { parameter: `${prefix}.conv1d${suffix}.weight`, dim: 0 },
        { parameter: `${prefix}.conv1d${suffix}.bias`, dim: 0 },
        { parameter: `${prefix}.x_proj${suffix}.weight`, dim: 1 },
        { parameter: `${prefix}.dt_proj${suffix}.weight`, dim: 0 },
        { parameter: `${prefix}.dt_proj${suffix}.bias`, dim: 0 },
        { parameter: `${prefix}.${which === 'forward' ? 'A_log' : 'A_b_log'}`, dim: 0 },
        { parameter: `${prefix}.D${suffix}`, dim: 0 },
      );
    }
    return members;
  }

  /**
   * Multiply-accumulates for `length` positions. The scan counts three for each state and position
   * (Δ A, the update, the output), two for each channel and position (D, gate); exponentials and
   * other elementwise functions are not counted.
   */
  macs(length: number): number {
    const { dModel, dInner, dState, dConv, dtRank } = this.sizes;
    const direction =
      dInner * dConv + dInner * (dtRank + 2 * dState) + dtRank * dInner + dInner * (3 * dState + 2);
    const shared = dModel * 2 * dInner + dInner * dModel;
    return length * (shared + direction * (this.#reverse ? 2 : 1));
  }
}
