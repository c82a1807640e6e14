// All blocks of a vision Mamba as one launch of a GPU, for inference on few images: a cluster of multiprocessors shares
// an image, from the first block to the last.
import { callOperator, hasOperator } from '../dispatch.js';
import type { Tensor } from '../tensor.js';
import { sideOf } from '../nn/token-order.js';
import type { FusedBlock } from './fused-blocks.js';

/**
 * What the operator's kernel holds of a block: filled up, smaller sizes cost what these do. Wider blocks than `width`, in channels
 * or in neurons, the operator refuses.
 */
const largest = { states: 16, rank: 16, taps: 4, width: 16383 };

/** How the work on an image is divided. */
export interface ClusterLayout {
  /** Multiprocessors that share an image: 8 or 16. */
  readonly cluster: number;
  /** Of them, which share the tokens for the MLP and have all of its neurons each: 1, 2 or 4. */
  readonly groups: number;
}

/** The weights of a stack of blocks as the operator reads them. They are those of now: made again after every change. */
export interface ClusterStack {
  /** uint8 [bytes] */
  readonly weights: Tensor;
  readonly layout: ClusterLayout;
  /** Channels and neurons of each block. */
  readonly sizes: readonly number[];
  readonly blocks: readonly FusedBlock[];
}

/** Whether there is an operator for a device whose kernel holds what these blocks have; `clusterImages` asks the rest. */
export function hasClusterBlocks(device: string, blocks: readonly FusedBlock[]): boolean {
  return (
    device.startsWith('cuda') && hasOperator('mamba_prune::cluster_blocks') && blocks.every(isSmall)
  );
}

/**
 * How many images the operator computes at a time: each of them has a cluster of multiprocessors. 0 where it cannot: it wants
 * 16 bits, a GPU of compute capability 9.0 (Hopper), one direction, at most 16 states, a dt_rank of at most 16, at most 4 taps,
 * a dModel that is a multiple of 16, and slices that fit into the shared memory of a multiprocessor.
 *
 * @param x - shape [batch, length, dModel], as `clusterBlocks` would be given it
 */
export function clusterImages(
  x: Tensor,
  blocks: readonly FusedBlock[],
  { cluster, groups }: ClusterLayout,
): number {
  if (!hasClusterBlocks(x.device, blocks)) return 0;
  const of = [x.size(1), x.size(2), cluster, groups];
  return callOperator('mamba_prune::cluster_images', x, ...of, sizesOf(blocks)) as number;
}

/** @param like - of the type of the activations */
export function packCluster(
  blocks: readonly FusedBlock[],
  layout: ClusterLayout,
  like: Tensor,
): ClusterStack {
  const { cluster, groups } = layout;
  const given = [blocks.flatMap(weightsOf), cluster, groups, like];
  const weights = callOperator('mamba_prune::cluster_units', ...given) as Tensor;
  return { weights, layout, sizes: sizesOf(blocks), blocks };
}

/**
 * As `mambaBlocks`. The residual stream is float32 within the operator.
 * @param x - shape [batch, length, dModel], of 16 bits; the result is like it
 */
export function clusterBlocks(x: Tensor, stack: ClusterStack): Tensor {
  const { weights, layout, sizes, blocks } = stack;
  const orders = blocks.map(({ reorder }) => (reorder ? sideOf(reorder, x.size(1)) : -1));
  const eps = blocks[0]?.norm1.eps;
  const given = [x, eps, weights, layout.cluster, layout.groups, sizes, orders];
  return callOperator('mamba_prune::cluster_blocks', ...given) as Tensor;
}

/** Whether a block has one direction and nothing that is larger than the kernel's own sizes. */
function isSmall(block: FusedBlock): boolean {
  const [, , conv, , , dtProj, , aLog, , secondConv] = block.ssm.weights;
  if (!conv || !dtProj || !aLog || secondConv) return false;
  const [taps, rank, states] = [conv.size(2), dtProj.size(1), aLog.size(1)];
  const isNarrow = sizesOf([block]).every((width) => width <= largest.width);
  return isNarrow && taps <= largest.taps && rank <= largest.rank && states <= largest.states;
}

function weightsOf({ norm1, norm2, ssm, mlp }: FusedBlock): (Tensor | null)[] {
  const norms = [norm1.weight, norm1.bias, norm2.weight, norm2.bias];
  return [...norms, ...ssm.weights, ...mlp.weights];
}

function sizesOf(blocks: readonly FusedBlock[]): number[] {
  return blocks.flatMap(({ ssm, mlp }) => [
    (ssm.weights[1] as Tensor).size(1),
    (mlp.weights[0] as Tensor).size(0),
  ]);
}
