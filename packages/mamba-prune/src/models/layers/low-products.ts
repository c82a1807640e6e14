// The matrices of a model's blocks for products in low precision on a CPU (`kernels.packProduct`), for as long as somebody
// has asked for them.
import { DerivedWeights, type Tensor } from '@mamba-prune/libtorch';
import * as kernels from '@mamba-prune/libtorch/kernels';

export interface KeptProducts {
  /** The blocks compute as before. */
  dispose(): void;
}

interface Kept {
  /** Of each block, packed at the first use and again when a weight has changed. */
  readonly blocks: readonly DerivedWeights[];
}

export class LowProducts {
  /** The last one is in use. */
  #kept: readonly Kept[] = [];

  /** @param matrices - of each block, float32 [out, in] */
  keep(
    precision: kernels.ProductPrecision,
    matrices: readonly (readonly Tensor[])[],
  ): KeptProducts {
    const kept: Kept = {
      blocks: matrices.map(
        (block) =>
          new DerivedWeights(block, () =>
            block.map((matrix) => kernels.packProduct(matrix, precision)),
          ),
      ),
    };
    this.#kept = [...this.#kept, kept];
    return {
      dispose: () => {
        this.#kept = this.#kept.filter((other) => other !== kept);
        for (const block of kept.blocks) block.release();
      },
    };
  }

  /** The packed matrices of a block, in the order given; undefined while it computes in float32. */
  of(index: number): readonly Tensor[] | undefined {
    return this.#kept.at(-1)?.blocks[index]?.get();
  }
}
