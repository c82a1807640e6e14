// The matrices of a model's blocks for products in low precision on a CPU (`kernels.packProduct`), for as long as somebody
// has asked for them. They are read only within `run`: between two batches another prediction may use the same model. What they
// are made of is then in a file until somebody asks for it: they have not all of its values.
import { DerivedWeights, FiledWeights, type Tensor } from '@mamba-prune/libtorch';
import * as kernels from '@mamba-prune/libtorch/kernels';

export interface KeptProducts {
  /** The blocks multiply in low precision until the task returns. */
  run<T>(task: () => T): T;
  /** The matrices are freed. */
  dispose(): void;
}

interface Kept {
  readonly blocks: readonly DerivedWeights[];
  /** What each block gave last. */
  readonly made: (readonly Tensor[] | undefined)[];
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
  readonly #filed = new FiledWeights();
  /** What is filed, of each block. */
  readonly #matrices: readonly (readonly Tensor[] | undefined)[];
  /** Of the task that runs now. */
  #used: Kept | undefined;

  /** @param matrices - of each block those that nothing else reads in low precision: they need not be in memory then */
  constructor(matrices: readonly (readonly Tensor[] | undefined)[] = []) {
    this.#matrices = matrices;
  }

  /** @param blocks - what each block reads in place of its weights */
  keep(blocks: readonly DerivedWeights[]): KeptProducts {
    const kept: Kept = { blocks, made: [] };
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
    const used = this.#used;
    const low = used?.blocks[index]?.get();
    if (!used || !low) return undefined;
    const matrices = this.#matrices[index] ?? [];
    // To make them was no look of somebody, who may look again.
    this.#filed.putAway(matrices, { atOnce: used.made[index] !== low });
    used.made[index] = low;
    return low;
  }

  /** The matrices are in memory again. */
  release(): void {
    this.#filed.release();
  }
}
