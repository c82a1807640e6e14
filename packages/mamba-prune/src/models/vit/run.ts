// How the blocks of a vision transformer run. layers/running.ts says which ways there are.
import type { Tensor } from '@mamba-prune/libtorch';
import * as kernels from '@mamba-prune/libtorch/kernels';
import type { UnitProbe } from '../image-model.js';
import { inTurn } from '../layers/in-turn.js';
import { type KeptProducts, LowProducts, packedProducts } from '../layers/low-products.js';
import { PanelMatrices } from '../layers/panel-matrices.js';
import { infersOnCpu } from '../layers/running.js';
import type { Block } from './model.js';

/** All blocks, one after the other, each the fastest way that there is for it. */
export class BlockRunner {
  readonly #blocks: readonly Block[];
  /** What the products of each block read. */
  readonly #matrices: readonly (readonly Tensor[])[];
  readonly #panels: PanelMatrices;
  readonly #low: LowProducts;

  constructor(blocks: readonly Block[]) {
    this.#blocks = blocks;
    this.#matrices = blocks.map(matricesOf);
    this.#panels = new PanelMatrices(this.#matrices);
    this.#low = new LowProducts(this.#matrices);
  }

  /** @param x - shape [batch, length, dModel]; the result has the same shape */
  forward(x: Tensor, probe?: UnitProbe): Tensor {
    let panels: ReturnType<PanelMatrices['get']> | undefined;
    const step = (stream: Tensor, block: Block, index: number): Tensor => {
      if (block.training || !infersOnCpu(stream, probe)) return block.forward(stream, probe);
      const used = this.#low.of(index) ?? (panels ??= this.#panels.get())[index];
      return runBlock(stream, block, used as readonly Tensor[]);
    };
    return inTurn(this.#blocks, x, step, probe !== undefined);
  }

  /** As `ImageModel.multiplyIn` says. */
  multiplyIn(precision: kernels.ProductPrecision): KeptProducts {
    // Else these would be in memory beside those in low precision.
    this.#panels.release();
    return this.#low.keep(this.#matrices.map((matrices) => packedProducts(matrices, precision)));
  }

  /** Frees what was made for inference; the next use makes it again. */
  release(): void {
    this.#panels.release();
    this.#low.release();
  }
}

function matricesOf({ attn, mlp }: Block): Tensor[] {
  return [attn.qkv, attn.proj, mlp.fc1, mlp.fc2].map(({ weight }) => weight);
}

/**
 * A block as one operator for inference on the CPU.
 * @param matrices - those of `matricesOf` in panels or for products in low precision
 */
function runBlock(x: Tensor, block: Block, matrices: readonly Tensor[]): Tensor {
  const { norm1, attn, norm2, mlp } = block;
  const [qkv, proj, fc1, fc2] = matrices as [Tensor, Tensor, Tensor, Tensor];
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
