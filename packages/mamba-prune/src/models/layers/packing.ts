// Weights as a GPU's matrix products want them: 16 bits, and every row a multiple of 16 bytes. A pruned width such as 115
// takes twice as long as 120; the columns in between are zeros.
import {
  type CopyPart,
  type DType,
  noGrad,
  scope,
  type Tensor,
  zeros,
} from '@mamba-prune/libtorch';
import type { SelectiveSsm } from './ssm.js';

/** Elements of 16 bits in 16 bytes. */
const alignment = 8;

export function padded(size: number): number {
  return Math.ceil(size / alignment) * alignment;
}

/** Copies of weights; those of the last refresh (`WeightCopies`, or `refresh` here). */
export class Packing {
  readonly dtype: DType;
  readonly #device: string;
  readonly #made: Tensor[] = [];
  readonly #parts: CopyPart[] = [];
  readonly #masters: Tensor[] = [];

  /** @param device - where the parameters are */
  constructor(dtype: DType, device: string) {
    this.dtype = dtype;
    this.#device = device;
  }

  get parts(): readonly CopyPart[] {
    return this.#parts;
  }

  /** Parameters that need no other copy. */
  get masters(): readonly Tensor[] {
    return this.#masters;
  }

  make(shape: readonly number[]): Tensor {
    const made = zeros(shape, { dtype: this.dtype, device: this.#device }).keep();
    this.#made.push(made);
    return made;
  }

  /** `first` and `count` say which rows of the master, `row` where they go. */
  put(to: Tensor, master: Tensor, first = 0, count = master.size(0), row = 0): void {
    // A view that is forgotten here would hold the memory of all copies until it is collected.
    scope(() => {
      noGrad(() => {
        const from = master.narrow(0, first, count).keep();
        const rows = to.narrow(0, row, count);
        const place = master.ndim > 1 ? rows.narrow(1, 0, master.size(1)) : rows;
        this.#parts.push({ from, to: place.keep() });
      });
    });
    if (!this.#masters.includes(master)) this.#masters.push(master);
  }

  /** A matrix of this shape, with the master in its corner. */
  whole(shape: readonly number[], master: Tensor): Tensor {
    const to = this.make(shape);
    this.put(to, master);
    return to;
  }

  refresh(): void {
    noGrad(() => {
      for (const { from, to } of this.#parts) to.copy_(from);
    });
  }

  dispose(): void {
    for (const { from, to } of this.#parts) {
      from.dispose();
      to.dispose();
    }
    for (const tensor of this.#made) tensor.dispose();
  }
}

/** The matrices of an SSM, as `kernels.ssmBranch` reads them. */
export function packSsm(
  packing: Packing,
  { inProj, outProj, scans, sizes }: SelectiveSsm,
): Tensor[] {
  const { dModel, dInner, dState, dtRank } = sizes;
  const width = padded(dInner);
  const rank = padded(dtRank);
  const halves = packing.make([2 * width, dModel]);
  packing.put(halves, inProj.weight, 0, dInner);
  packing.put(halves, inProj.weight, dInner, dInner, width);
  const reader = packing.whole([dModel, width], outProj.weight);
  const each = scans.flatMap(({ xProj, dtProj }) => {
    const packed = packing.make([padded(rank + 2 * dState), width]);
    packing.put(packed, xProj.weight, 0, dtRank);
    packing.put(packed, xProj.weight, dtRank, 2 * dState, rank);
    return [packed, packing.whole([width, rank], dtProj.weight)];
  });
  return [halves, reader, ...each];
}

/** Copies of the matrices of an SSM alone. */
export class PackedSsm extends Packing {
  readonly ssm: readonly Tensor[];

  constructor(ssm: SelectiveSsm, dtype: DType) {
    super(dtype, ssm.inProj.weight.device);
    this.ssm = packSsm(this, ssm);
  }
}
