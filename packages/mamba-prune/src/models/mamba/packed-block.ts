// The weights of a block as the GPU's matrix products want them; layers/packing.ts says how that is.
import type { CopyPart, DType, Tensor } from '@mamba-prune/libtorch';
import type { Mlp } from '../layers/mlp.js';
import { Packing, packSsm, padded } from '../layers/packing.js';
import type { SelectiveSsm } from '../layers/ssm.js';

/** Copies of one block's weights; those of the last refresh (`WeightCopies`, or `refresh` here). */
export class PackedBlock {
  readonly ssm: readonly Tensor[];
  readonly mlp: readonly Tensor[];
  readonly #packing: Packing;

  constructor(ssm: SelectiveSsm, mlp: Mlp, dtype: DType) {
    const packing = new Packing(dtype, ssm.inProj.weight.device);
    this.#packing = packing;
    this.ssm = packSsm(packing, ssm);
    const { fc1, fc2 } = mlp;
    const { dModel } = ssm.sizes;
    const neurons = padded(fc1.weight.size(0));
    this.mlp = [
      packing.whole([neurons, dModel], fc1.weight),
      packing.whole([neurons], fc1.bias as Tensor),
      packing.whole([dModel, neurons], fc2.weight),
      packing.whole([dModel], fc2.bias as Tensor),
    ];
  }

  get dtype(): DType {
    return this.#packing.dtype;
  }

  get parts(): readonly CopyPart[] {
    return this.#packing.parts;
  }

  /** Parameters that need no other copy. */
  get masters(): readonly Tensor[] {
    return this.#packing.masters;
  }

  refresh(): void {
    this.#packing.refresh();
  }

  dispose(): void {
    this.#packing.dispose();
  }
}
