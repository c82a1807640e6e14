// The weights of a block as the GPU's matrix products want them: 16 bits, and every row a multiple of 16
// bytes. A pruned width such as 115 takes twice as long as 120; the columns in between are zeros.
import {
  type CopyPart,
  type DType,
  noGrad,
  scope,
  type Tensor,
  zeros,
} from '@mamba-prune/libtorch';
import type { SelectiveSsm } from '../layers/ssm.js';
import type { Mlp } from '../layers/mlp.js';

/** Elements of 16 bits in 16 bytes. */
const alignment = 8;

function padded(size: number): number {
  return Math.ceil(size / alignment) * alignment;
}

/** Copies of one block's weights; those of the last refresh (`WeightCopies`, or `refresh` here). */
export class PackedBlock {
  readonly ssm: readonly Tensor[];
  readonly mlp: readonly Tensor[];
  readonly parts: readonly CopyPart[];
  /** Parameters that need no other copy. */
  readonly masters: readonly Tensor[];

  readonly dtype: DType;

  constructor(ssm: SelectiveSsm, mlp: Mlp, dtype: DType) {
    this.dtype = dtype;
    const parts: CopyPart[] = [];
    const masters: Tensor[] = [];
    const { device } = ssm.inProj.weight;
    const make = (shape: readonly number[]) => zeros(shape, { dtype, device }).keep();
    /** `rows` and `columns` say where a part of the master goes. */
    const put = (to: Tensor, master: Tensor, first = 0, count = master.size(0), row = 0) => {
      // A view that is forgotten here would hold the memory of all copies until it is collected.
      scope(() => {
        noGrad(() => {
          const from = master.narrow(0, first, count).keep();
          const rows = to.narrow(0, row, count);
          const place = master.ndim > 1 ? rows.narrow(1, 0, master.size(1)) : rows;
          parts.push({ from, to: place.keep() });
        });
      });
      if (!masters.includes(master)) masters.push(master);
    };
    const whole = (shape: readonly number[], master: Tensor) => {
      const to = make(shape);
      put(to, master);
      return to;
    };

    const { dModel, dInner, dState, dtRank } = ssm.sizes;
    const width = padded(dInner);
    const rank = padded(dtRank);
    const inProj = make([2 * width, dModel]);
    put(inProj, ssm.inProj.weight, 0, dInner);
    put(inProj, ssm.inProj.weight, dInner, dInner, width);
    const outProj = whole([dModel, width], ssm.outProj.weight);
    const scans = ssm.scans.flatMap(({ xProj, dtProj }) => {
      const packed = make([padded(rank + 2 * dState), width]);
      put(packed, xProj.weight, 0, dtRank);
      put(packed, xProj.weight, dtRank, 2 * dState, rank);
      return [packed, whole([width, rank], dtProj.weight)];
    });
    this.ssm = [inProj, outProj, ...scans];

    const { fc1, fc2 } = mlp;
    const neurons = padded(fc1.weight.size(0));
    this.mlp = [
      whole([neurons, dModel], fc1.weight),
      whole([neurons], fc1.bias as Tensor),
      whole([dModel, neurons], fc2.weight),
      whole([dModel], fc2.bias as Tensor),
    ];
    this.parts = parts;
    this.masters = masters;
  }

  refresh(): void {
    noGrad(() => {
      for (const { from, to } of this.parts) to.copy_(from);
    });
  }

  dispose(): void {
    for (const { from, to } of this.parts) {
      from.dispose();
      to.dispose();
    }
    for (const tensor of [...this.ssm, ...this.mlp]) tensor.dispose();
  }
}
