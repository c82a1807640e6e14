// All blocks of a vision Mamba as one operator of a GPU, while their weights stay as they are.
import { type DType, noGrad, type Tensor } from '@mamba-prune/libtorch';
import * as kernels from '@mamba-prune/libtorch/kernels';

export class BlockStack {
  readonly #blocks: readonly kernels.FusedBlock[];
  readonly #units: readonly Tensor[];

  readonly dtype: DType;

  /** @param dtype - of the activations and the packed weights */
  constructor(blocks: readonly kernels.FusedBlock[], dtype: DType) {
    this.dtype = dtype;
    this.#blocks = blocks;
    this.#units = noGrad(() =>
      blocks.map((block, index) => kernels.packUnits(block, blocks[index + 1]).keep()),
    );
  }

  /** @param x - shape [batch, length, dModel]; the result has the same shape */
  forward(x: Tensor): Tensor {
    return kernels.mambaBlocks(x, this.#blocks, this.#units);
  }

  dispose(): void {
    for (const units of this.#units) units.dispose();
  }
}
