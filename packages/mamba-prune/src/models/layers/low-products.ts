// The matrices of a model's blocks for products in low precision on a CPU (`kernels.packProduct`), for as long as somebody
// has asked for them. They are read only within `run`: between two batches another prediction may use the same model.
import { DerivedWeights, type Tensor } from '@mamba-prune/libtorch';
import * as kernels from '@mamba-prune/libtorch/kernels';

export interface KeptProducts {
  /** The blocks multiply in low precision until the task returns. */
  run<T>(task: () => T): T;
  /** The matrices are freed. */
  dispose(): void;
}

interface Kept {
  /** Of each block, packed at the first use and again when a weight has changed. */
  readonly blocks: readonly DerivedWeights[];
}

export class LowProducts {
  /** Of the task that runs now. */
  #used: Kept | undefined;

  /** @param matrices - of each block, float32 [out, in]; of more dimensions they are those of an input */
  keep(
    precision: kernels.ProductPrecision,
    matrices: readonly (readonly Tensor[])[],
  ): KeptProducts {
    const kept: Kept = {
      blocks: matrices.map(
        (block) =>
          new DerivedWeights(block, () =>
            block.map((matrix) => kernels.packProduct(matrix.flatten(1), precision)),
          ),
      ),
    };
    return {
      run: (task) => {
        const before = this.#used;
        this.#used = kept;
        try {
          return task();
        } finally {
          this.#used = before;
        }
      },
      dispose: () => {
        for (const block of kept.blocks) block.release();
      },
    };
  }

  /** The packed matrices of a block, in the order given; undefined while it computes in float32. */
  of(index: number): readonly Tensor[] | undefined {
    return this.#used?.blocks[index]?.get();
  }
}
