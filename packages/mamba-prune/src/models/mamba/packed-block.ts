// The weights of a block as the GPU's matrix products want them; layers/packing.ts says how that is.
import { type CopyPart, type DType, type Tensor, noGrad, scope } from '@mamba-prune/libtorch';
import * as kernels from '@mamba-prune/libtorch/kernels';
import type { Mlp } from '../layers/mlp.js';
import { Packing, packSsm, padded } from '../layers/packing.js';
import type { SelectiveSsm } from '../layers/ssm.js';

/** Copies of one block's weights; those of the last refresh (`WeightCopies`, or `refresh` here). */
export class PackedBlock {
  readonly ssm: readonly Tensor[];
  readonly mlp: readonly Tensor[];
  /** For a training step, where there are such kernels; whoever refreshes the parts packs them then. */
  readonly units: kernels.BranchUnits | undefined;
  readonly #packing: Packing;

  /** @param trained - whether there are to be units */
  constructor(ssm: SelectiveSsm, mlp: Mlp, dtype: DType, trained = false) {
    const packing = new Packing(dtype, ssm.inProj.weight.device);
    this.#packing = packing;
    const matrices = packSsm(packing, ssm);
    const { fc1, fc2 } = mlp;
    const { dModel, dState } = ssm.sizes;
    const neurons = padded(fc1.weight.size(0));
    const first = packing.whole([neurons, dModel], fc1.weight);
    const bias = packing.whole([neurons], fc1.bias as Tensor);
    const second = packing.whole([dModel, neurons], fc2.weight);
    const [inProj, , ...projections] = matrices as [Tensor, Tensor, ...Tensor[]];
    if (trained) {
      const ofMlp = [first, second, fc1.bias as Tensor];
      this.units = scope(() =>
        noGrad(() => kernels.makeBranchUnits([inProj, ...projections], ofMlp, dState)),
      );
    }
    const units = this.units?.units ?? [];
    this.ssm = [...matrices, ...units.slice(0, -1)];
    const last = packing.whole([dModel], fc2.bias as Tensor);
    this.mlp = [first, bias, second, last, ...units.slice(-1)];
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
    for (const tensor of this.units?.units ?? []) tensor.dispose();
    this.#packing.dispose();
  }
}
