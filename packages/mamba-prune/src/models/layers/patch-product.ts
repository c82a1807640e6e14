// The patches of images by a product in bfloat16, while a model multiplies in low precision on a CPU that has it.
import type { Tensor, nn } from '@mamba-prune/libtorch';
import * as kernels from '@mamba-prune/libtorch/kernels';
import type { UnitProbe } from '../image-model.js';
import { type KeptProducts, LowProducts, packedProducts } from './low-products.js';
import { embedPatches, embedWithPositions } from './patches.js';
import { infersOnCpu } from './running.js';

/** The embedding of a model's patches, and the ways to compute it. */
export class PatchProduct {
  readonly #embedding: nn.Conv2d;
  readonly #low = new LowProducts();

  constructor(embedding: nn.Conv2d) {
    this.#embedding = embedding;
  }

  /** As `embedPatches`. */
  forward(images: Tensor, probe?: UnitProbe): Tensor {
    return this.#inLow(images, probe) ?? embedPatches(images, this.#embedding);
  }

  /** As `embedWithPositions`. */
  withPositions(images: Tensor, positions: Tensor, probe?: UnitProbe): Tensor {
    const patches = this.#inLow(images, probe);
    return patches
      ? patches.add(positions)
      : embedWithPositions(images, this.#embedding, positions);
  }

  #inLow(images: Tensor, probe: UnitProbe | undefined): Tensor | undefined {
    const { training, weight, stride, bias } = this.#embedding;
    const [packed] = this.#low.of(0) ?? [];
    if (!packed || training || !infersOnCpu(images, probe) || typeof stride !== 'number') {
      return undefined;
    }
    return kernels.lowPatches(images, packed, bias, { patch: weight.size(2), stride });
  }

  /**
   * The patches are multiplied in bfloat16 while the blocks are in low precision, where the processor can: in int8 as
   * well, because a pixel has 8 bits before it is normalised.
   */
  along(products: KeptProducts | undefined): KeptProducts | undefined {
    if (!products || kernels.productsMissing('bf16') !== undefined) return products;
    const own = this.#low.keep([packedProducts([this.#embedding.weight], 'bf16')]);
    return {
      run: (task) => products.run(() => own.run(task)),
      dispose: () => {
        own.dispose();
        products.dispose();
      },
    };
  }
}
