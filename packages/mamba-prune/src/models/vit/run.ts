// How the blocks of a vision transformer run. layers/running.ts says which ways there are.
import { DerivedWeights, type Tensor } from '@mamba-prune/libtorch';
import * as kernels from '@mamba-prune/libtorch/kernels';
import type { UnitProbe } from '../image-model.js';
import { type KeptProducts, LowProducts, packedProducts } from '../layers/low-products.js';
import { infersOnCpu } from '../layers/running.js';
import type { Block } from './model.js';

/** All blocks, one after the other, each the fastest way that there is for it. */
export class BlockRunner {
  readonly #blocks: readonly FusedBlock[];
  readonly #low = new LowProducts();

  constructor(blocks: readonly Block[]) {
    this.#blocks = blocks.map((block) => new FusedBlock(block));
  }

  /** @param x - shape [batch, length, dModel]; the result has the same shape */
  forward(x: Tensor, probe?: UnitProbe): Tensor {
    return this.#blocks.reduce((stream, fused, index) => {
      const { block } = fused;
      if (!block.training && infersOnCpu(stream, probe)) {
        return fused.forward(stream, this.#low.of(index));
      }
      return block.forward(stream, probe);
    }, x);
  }

  /** As `ImageModel.multiplyIn` says. */
  multiplyIn(precision: kernels.ProductPrecision): KeptProducts {
    return this.#low.keep(this.#blocks.map(({ matrices }) => packedProducts(matrices, precision)));
  }

  /** Frees what was made for inference; the next use makes it again. */
  release(): void {
    for (const block of this.#blocks) block.release();
  }
}

/** A block as one operator for inference on the CPU. */
class FusedBlock {
  /** Of qkv, proj, fc1 and fc2. */
  readonly matrices: readonly Tensor[];
  /** These in panels. */
  readonly #packed: DerivedWeights;

  readonly block: Block;

  constructor(block: Block) {
    this.block = block;
    const { attn, mlp } = block;
    this.matrices = [attn.qkv, attn.proj, mlp.fc1, mlp.fc2].map(({ weight }) => weight);
    this.#packed = new DerivedWeights(this.matrices, () =>
      this.matrices.map((matrix) => kernels.packWeights(matrix.unsqueeze(0))),
    );
  }

  /** @param low - its matrices for products in low precision */
  forward(x: Tensor, low: readonly Tensor[] | undefined): Tensor {
    const { norm1, attn, norm2, mlp } = this.block;
    const [qkv, proj, fc1, fc2] = (low ?? this.#packed.get()) as [Tensor, Tensor, Tensor, Tensor];
    const weights = {
      norm1Weight: norm1.weight as Tensor,
      norm1Bias: norm1.bias as Tensor,
      qkv,
      qkvBias: attn.qkv.bias as Tensor,
      proj,
      projBias: attn.proj.bias as Tensor,
      norm2Weight: norm2.weight as Tensor,
      norm2Bias: norm2.bias as Tensor,
      fc1,
      fc1Bias: mlp.fc1.bias as Tensor,
      fc2,
      fc2Bias: mlp.fc2.bias as Tensor,
    };
    return kernels.vitBlock(x, weights, {
      heads: attn.heads,
      headDim: attn.headDim,
      eps: norm1.eps,
    });
  }

  release(): void {
    this.#packed.release();
  }
}
