// All blocks of a vision Mamba as one operator of a GPU, while their weights stay as they are: few images by one launch in which
// a cluster of multiprocessors shares an image, more by the operator that keeps every multiprocessor busy.
import { type DType, noGrad, type Tensor } from '@mamba-prune/libtorch';
import * as kernels from '@mamba-prune/libtorch/kernels';

/** Multiprocessors that share an image: as many as a GPU has side by side, or 8 where these are fewer. */
const clusters = [16, 8] as const;

/** How often so many images as run at a time the launch takes before the other operator is faster (docs/performance.md). */
const mostRounds = 4;

export class BlockStack {
  readonly #blocks: readonly kernels.FusedBlock[];
  readonly #units: readonly Tensor[] | undefined;
  /** By the tokens of an image: what its clusters read, if there are any. */
  readonly #clusters = new Map<number, Cluster | undefined>();

  readonly dtype: DType;

  /**
   * @param dtype - of the activations and the packed weights
   * @param fused - whether `kernels.mambaBlocks` takes the blocks
   */
  constructor(blocks: readonly kernels.FusedBlock[], dtype: DType, fused: boolean) {
    this.dtype = dtype;
    this.#blocks = blocks;
    if (!fused) return;
    this.#units = noGrad(() =>
      blocks.map((block, index) => kernels.packUnits(block, blocks[index + 1]).keep()),
    );
  }

  /**
   * @param x - shape [batch, length, dModel]; the result has the same shape
   * @returns undefined where no operator takes x
   */
  forward(x: Tensor): Tensor | undefined {
    const cluster = this.#clusterFor(x);
    if (cluster && x.size(0) <= mostRounds * cluster.images) {
      return kernels.clusterBlocks(x, cluster.stack);
    }
    return this.#units && kernels.mambaBlocks(x, this.#blocks, this.#units);
  }

  dispose(): void {
    for (const units of this.#units ?? []) units.dispose();
    for (const cluster of this.#clusters.values()) cluster?.stack.weights.dispose();
    this.#clusters.clear();
  }

  #clusterFor(x: Tensor): Cluster | undefined {
    const length = x.size(1);
    if (!this.#clusters.has(length)) this.#clusters.set(length, packFor(x, this.#blocks));
    return this.#clusters.get(length);
  }
}

interface Cluster {
  /** At a time. */
  readonly images: number;
  readonly stack: kernels.ClusterStack;
}

function packFor(x: Tensor, blocks: readonly kernels.FusedBlock[]): Cluster | undefined {
  for (const cluster of clusters) {
    const images = kernels.clusterImages(x, blocks, cluster);
    if (images === 0) continue;
    const stack = noGrad(() => kernels.packCluster(blocks, cluster, x));
    stack.weights.keep();
    return { images, stack };
  }
  return undefined;
}
