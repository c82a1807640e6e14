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
  readonly blocks: readonly DerivedWeights[];
}

/**
 * Matrices as the products read them, packed at the first use and again when a weight has changed.
 * @param matrices - float32 [out, in]; of more dimensions they are those of an input
 */
export function packedProducts(
  matrices: readonly Tensor[],
  precision: kernels.ProductPrecision,
): DerivedWeights {
  return new DerivedWeights(matrices, () =>
    matrices.map((matrix) => kernels.packProduct(matrix.flatten(1), precision)),
  );
}

/**
 * A matrix with few outputs, as x_proj is. In int8 it is packed in bfloat16, where the processor has that too: its product
 * takes less time than the rounding of what it reads to 8 bits.
 */
export function packNarrow(matrix: Tensor, precision: kernels.ProductPrecision): Tensor {
  const wide = precision === 'int8' && kernels.productsMissing('bf16') === undefined;
  return kernels.packProduct(matrix, wide ? 'bf16' : precision);
}

export class LowProducts {
  /** Of the task that runs now. */
  #used: Kept | undefined;

  /** @param blocks - what each block reads in place of its weights */
  keep(blocks: readonly DerivedWeights[]): KeptProducts {
    const kept: Kept = { blocks };
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

  /** What was kept for a block; undefined while it computes in float32. */
  of(index: number): readonly Tensor[] | undefined {
    return this.#used?.blocks[index]?.get();
  }
}
