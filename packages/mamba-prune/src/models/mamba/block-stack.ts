// All blocks of a vision Mamba as one operator of a GPU, while their weights stay as they are: few images by one launch in which
// a cluster of multiprocessors shares an image, more by the operator that keeps every multiprocessor busy.
import { type DType, noGrad, type Tensor } from '@mamba-prune/libtorch';
import * as kernels from '@mamba-prune/libtorch/kernels';

/**
 * Ways to divide the work, and what a round of as many images as run at a time takes, in rounds of 16 multiprocessors an image
 * (docs/performance/gpu-inference.md): half as many hold twice the weights, which only pruned blocks allow. Of those in one list
 * the first that fits is taken: more groups exchange less, but each multiprocessor then holds more of the MLP.
 */
const ways = [
  { cost: 1, layouts: [4, 2, 1].map((groups) => ({ cluster: 16, groups })) },
  { cost: 1.15, layouts: [4, 2, 1].map((groups) => ({ cluster: 8, groups })) },
] as const;

/** Up to how many such rounds the launch is faster than the other operator. */
const mostRounds = 2.5;

/** A way with a layout that fits images of so many tokens. */
interface Way {
  readonly cost: number;
  readonly layout: kernels.ClusterLayout;
  /** At a time. */
  readonly images: number;
  /** Packed when it is first needed. */
  stack: kernels.ClusterStack | undefined;
}

export class BlockStack {
  readonly #blocks: readonly kernels.FusedBlock[];
  readonly #fused: boolean;
  /** Of `kernels.mambaBlocks`, packed when it is first needed. */
  #units: readonly Tensor[] | undefined;
  /** By the tokens of an image. */
  readonly #ways = new Map<number, readonly Way[]>();

  readonly dtype: DType;

  /**
   * @param dtype - of the activations and the packed weights
   * @param fused - whether `kernels.mambaBlocks` takes the blocks
   */
  constructor(blocks: readonly kernels.FusedBlock[], dtype: DType, fused: boolean) {
    this.dtype = dtype;
    this.#blocks = blocks;
    this.#fused = fused;
  }

  /**
   * @param x - shape [batch, length, dModel]; the result has the same shape
   * @returns undefined where no operator takes x
   */
  forward(x: Tensor): Tensor | undefined {
    const way = this.#wayFor(x);
    if (way) {
      way.stack ??= packStack(this.#blocks, way.layout, x);
      return kernels.clusterBlocks(x, way.stack);
    }
    if (!this.#fused) return undefined;
    this.#units ??= packUnits(this.#blocks);
    return kernels.mambaBlocks(x, this.#blocks, this.#units);
  }

  dispose(): void {
    for (const units of this.#units ?? []) units.dispose();
    for (const { stack } of [...this.#ways.values()].flat()) stack?.weights.dispose();
    this.#ways.clear();
  }

  /** The fastest way for so many images, if there is one that is faster than the other operator. */
  #wayFor(x: Tensor): Way | undefined {
    const [batch, length] = [x.size(0), x.size(1)];
    let found = this.#ways.get(length);
    if (!found) {
      found = ways.flatMap(({ cost, layouts }) => wayOf(x, this.#blocks, cost, layouts) ?? []);
      this.#ways.set(length, found);
    }
    const rounds = ({ cost, images }: Way) => cost * Math.ceil(batch / images);
    const [best] = [...found].sort((a, b) => rounds(a) - rounds(b));
    return best && rounds(best) <= mostRounds ? best : undefined;
  }
}

function wayOf(
  x: Tensor,
  blocks: readonly kernels.FusedBlock[],
  cost: number,
  layouts: readonly kernels.ClusterLayout[],
): Way | undefined {
  for (const layout of layouts) {
    const images = kernels.clusterImages(x, blocks, layout);
    if (images > 0) return { cost, layout, images, stack: undefined };
  }
  return undefined;
}

function packUnits(blocks: readonly kernels.FusedBlock[]): readonly Tensor[] {
  return noGrad(() =>
    blocks.map((block, index) => kernels.packUnits(block, blocks[index + 1]).keep()),
  );
}

function packStack(
  blocks: readonly kernels.FusedBlock[],
  layout: kernels.ClusterLayout,
  like: Tensor,
): kernels.ClusterStack {
  const stack = noGrad(() => kernels.packCluster(blocks, layout, like));
  stack.weights.keep();
  return stack;
}
