// The matrices of a model's blocks in the panels that the operators for inference on the CPU multiply by
// (`kernels.packWeights`), made at the first inference and again when a weight has changed: transposing them in every
// call took a fifth of the time of one image. They have all that the matrices have, which therefore are in memory as panels alone
// until somebody asks for one of them.
import { LentWeights, type ReversibleForm, type Tensor } from '@mamba-prune/libtorch';
import * as kernels from '@mamba-prune/libtorch/kernels';

const panels: ReversibleForm = {
  make: (matrix) => kernels.packWeights(matrix.unsqueeze(0)),
  restore: (packed, [columns = 0]) => kernels.unpackMatrix(packed, columns),
};

export class PanelMatrices {
  /** Where each block's begin in the list of all; undefined for a block that has none. */
  readonly #places: readonly (readonly [first: number, end: number] | undefined)[];
  /** Of all blocks together: one comparison of versions serves a whole forward pass. */
  readonly #all: LentWeights;

  /** @param matrices - of each block, float32 [out, in]; undefined for a block that keeps its own way */
  constructor(matrices: readonly (readonly Tensor[] | undefined)[]) {
    let next = 0;
    this.#places = matrices.map((block) => block && [next, (next += block.length)]);
    this.#all = new LentWeights(
      matrices.flatMap((block) => block ?? []),
      panels,
    );
  }

  /** Of each block, in the order given. Only until the next change of a weight. */
  get(): readonly (readonly Tensor[] | undefined)[] {
    const all = this.#all.get();
    return this.#places.map((place) => place && all.slice(...place));
  }

  /** Frees them; the next use makes them again. */
  release(): void {
    this.#all.release();
  }
}
