// All blocks of a vision Mamba as one operator of a GPU, while their weights stay as they are.
import { type DType, F, noGrad, type Tensor } from '@mamba-prune/libtorch';

export class BlockStack {
  readonly #blocks: readonly F.FusedBlock[];
  readonly #units: readonly Tensor[];

  /** @param dtype - of the activations and the packed weights */
  constructor(
    blocks: readonly F.FusedBlock[],
    readonly dtype: DType,
  ) {
    this.#blocks = blocks;
    this.#units = noGrad(() =>
      blocks.map((block, index) => F.packUnits(block, blocks[index + 1]).keep()),
    );
  }

  /** @param x - shape [batch, length, dModel]; the result has the same shape */
  forward(x: Tensor): Tensor {
    return F.mambaBlocks(x, this.#blocks, this.#units);
  }

  dispose(): void {
    for (const units of this.#units) units.dispose();
  }
}
