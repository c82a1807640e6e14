// The selective state space model of Mamba (Gu and Dao 2023, arXiv 2312.00752).
//
// Names to the paper's symbols: dInner = E*D (channels), dState = N, dtRank = R, delta = Δ,
// A_log = log(-A). The recurrence is eq. 2 with the discretisation of section 3.2:
//   h_t = exp(Δ_t A) h_{t-1} + Δ_t B_t u_t,   y_t = C_t h_t + D u_t
import { F, type Tensor, arange, nn, noGrad, ones, ops, rand } from '@mamba-prune/libtorch';
import type { GroupMember } from '../groups.js';
import type { GroupProbe } from '../image-model.js';

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
export class ScanDirection {
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
   * @param probe - its gate is at u: where that is 0, so are x_proj's column, the scan and the skip
   * @returns the gated output, same shape
   */
  forward(x: Tensor, z: Tensor, probe?: GroupProbe): Tensor {
    const { dtRank, dState } = this.sizes;
    const convolved = F.causalConv1d(x, this.conv1d.weight, { bias: this.conv1d.bias });
    const u = probe?.gate(convolved, 2) ?? convolved;
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

interface ParameterNames {
  readonly conv1d: string;
  readonly xProj: string;
  readonly dtProj: string;
  readonly aLog: string;
  readonly d: string;
}

/** Names in the state dict; the second direction's have a _b, as in Vision Mamba's checkpoints. */
const names: Readonly<Record<'forward' | 'backward', ParameterNames>> = {
  forward: { conv1d: 'conv1d', xProj: 'x_proj', dtProj: 'dt_proj', aLog: 'A_log', d: 'D' },
  backward: {
    conv1d: 'conv1d_b',
    xProj: 'x_proj_b',
    dtProj: 'dt_proj_b',
    aLog: 'A_b_log',
    d: 'D_b',
  },
};

type FusedSsmWeights = Omit<F.MambaBlockWeights, `norm${string}` | `fc${string}`>;

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
    this.#scan = this.#direction(names.forward);
    this.#reverse = bidirectional ? this.#direction(names.backward) : undefined;
    this.outProj = this.child('out_proj', new nn.Linear(dInner, dModel, { bias: false }));
  }

  #direction(name: ParameterNames): ScanDirection {
    const { dInner, dState } = this.sizes;
    const direction = new ScanDirection(
      this.sizes,
      this.parameter(
        name.aLog,
        // S4D-real: A = -(1, 2, ..., N) for every channel.
        noGrad(() =>
          arange(1, dState + 1)
            .log()
            .repeat(dInner, 1),
        ),
      ),
      this.parameter(name.d, ones([dInner])),
    );
    this.child(name.conv1d, direction.conv1d);
    this.child(name.xProj, direction.xProj);
    this.child(name.dtProj, direction.dtProj);
    return direction;
  }

  /**
   * @param x - shape [batch, length, dModel]
   * @returns the gated scan before out_proj, shape [batch, length, dInner]
   */
  inner(x: Tensor, probe?: GroupProbe): Tensor {
    const y = this.#scans(x, probe);
    probe?.output(y, 2);
    return y;
  }

  #scans(x: Tensor, probe?: GroupProbe): Tensor {
    const { dInner } = this.sizes;
    const xz = this.inProj.forward(x);
    const u = xz.narrow(-1, 0, dInner);
    const z = xz.narrow(-1, dInner, dInner);
    const y = this.#scan.forward(u, z, probe);
    if (!this.#reverse) return y;
    return y.add(this.#reverse.forward(u.flip(1), z.flip(1), probe).flip(1));
  }

  /** @param x - shape [batch, length, dModel]; the result has the same shape */
  override forward(x: Tensor, probe?: GroupProbe): Tensor {
    return this.outProj.forward(this.inner(x, probe));
  }

  /** Its scan directions, the forward one first. */
  get scans(): readonly ScanDirection[] {
    return this.#reverse ? [this.#scan, this.#reverse] : [this.#scan];
  }

  /** The parameters as `F.ssmBranch` takes them. */
  branchWeights(): Tensor[] {
    const scans = this.scans.flatMap(({ conv1d, xProj, dtProj, aLog, d }) => [
      ...[conv1d.weight, conv1d.bias as Tensor, xProj.weight],
      ...[dtProj.weight, dtProj.bias as Tensor, aLog, d],
    ]);
    return [this.inProj.weight, this.outProj.weight, ...scans];
  }

  /** Of these, the weights of matrix products. */
  productWeights(): Tensor[] {
    const scans = this.scans.flatMap(({ xProj, dtProj }) => [xProj.weight, dtProj.weight]);
    return [this.inProj.weight, this.outProj.weight, ...scans];
  }

  /** The parameters as the fused block takes them; undefined with two directions, which it cannot do. */
  fusedWeights(): FusedSsmWeights | undefined {
    if (this.#reverse) return undefined;
    const { conv1d, xProj, dtProj, aLog, d } = this.#scan;
    if (!conv1d.bias || !dtProj.bias) return undefined;
    return {
      inProj: this.inProj.weight,
      convWeight: conv1d.weight,
      convBias: conv1d.bias,
      xProj: xProj.weight,
      dtWeight: dtProj.weight,
      dtBias: dtProj.bias,
      aLog,
      d,
      outProj: this.outProj.weight,
    };
  }

  /** The directions that it scans in, by the names of their parameters. */
  get #directions(): readonly ParameterNames[] {
    return this.#reverse ? [names.forward, names.backward] : [names.forward];
  }

  /** Where channel k appears, for a module that is called `prefix` in the state dict. */
  channelMembers(prefix: string): GroupMember[] {
    return [
      { parameter: `${prefix}.in_proj.weight`, dim: 0 },
      { parameter: `${prefix}.in_proj.weight`, dim: 0, offset: this.sizes.dInner },
      { parameter: `${prefix}.out_proj.weight`, dim: 1, scored: true, consumer: true },
      ...this.#directions.flatMap((name) => [
        { parameter: `${prefix}.${name.conv1d}.weight`, dim: 0 },
        { parameter: `${prefix}.${name.conv1d}.bias`, dim: 0 },
        { parameter: `${prefix}.${name.xProj}.weight`, dim: 1 },
        { parameter: `${prefix}.${name.dtProj}.weight`, dim: 0 },
        { parameter: `${prefix}.${name.dtProj}.bias`, dim: 0 },
        { parameter: `${prefix}.${name.aLog}`, dim: 0 },
        { parameter: `${prefix}.${name.d}`, dim: 0 },
      ]),
    ];
  }

  /**
   * Where state n appears. Scored are the rows of x_proj that make B_n and C_n: without one of them
   * the state is never written, or never read. A_log says how long a state lasts, not how much it
   * gives. (A masked state has A_log = 0, so A = -1, but nothing ever goes in or out.)
   */
  stateMembers(prefix: string): GroupMember[] {
    const { dtRank, dState } = this.sizes;
    return this.#directions.flatMap((name) => [
      { parameter: `${prefix}.${name.xProj}.weight`, dim: 0, offset: dtRank, scored: true },
      {
        parameter: `${prefix}.${name.xProj}.weight`,
        dim: 0,
        offset: dtRank + dState,
        scored: true,
      },
      { parameter: `${prefix}.${name.aLog}`, dim: 1 },
    ]);
  }

  /**
   * Where rank r of the step sizes appears: a row of x_proj makes it, a column of dt_proj reads it.
   * Both are scored, as with the two layers of an MLP.
   */
  rankMembers(prefix: string): GroupMember[] {
    return this.#directions.flatMap((name) => [
      { parameter: `${prefix}.${name.xProj}.weight`, dim: 0, scored: true },
      { parameter: `${prefix}.${name.dtProj}.weight`, dim: 1, scored: true },
    ]);
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
