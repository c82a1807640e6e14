// How the blocks of a vision Mamba run. layers/running.ts says which ways there are, and what the kinds of copies are.
import { type DType, F, type Tensor, isGradEnabled, scope } from '@mamba-prune/libtorch';
import * as kernels from '@mamba-prune/libtorch/kernels';
import type { PackedWeights, UnitProbe } from '../image-model.js';
import { type KeptProducts, LowProducts } from '../layers/low-products.js';
import { fitsConvKernel, fitsGpuBranch, infersOnCpu, takesCpuBranches } from '../layers/running.js';
import { ssmMatrices, ssmWeights } from '../layers/scan-weights.js';
import { BlockStack } from './block-stack.js';
import type { Block } from './model.js';
import { blockWeights, mlpWeights } from './operator-weights.js';
import { PackedBlock } from './packed-block.js';

/** What the matrix products of a block's two branches read. */
type BranchMatrices = Pick<PackedBlock, 'ssm' | 'mlp'>;

/** Copies for the operators of a GPU, which somebody keeps up to date until they are disposed of. */
interface KeptCopies {
  readonly dtype: DType;
  /** One for each block. */
  readonly packed: readonly PackedBlock[];
  /** If the weights stay as they are, and an operator for all blocks takes their sizes. */
  readonly stack: BlockStack | undefined;
}

/** All blocks, one after the other, each the fastest way that there is for it. */
export class BlockRunner {
  readonly #blocks: readonly Block[];
  /** For the operator that does a whole block, of those blocks that it can do. */
  readonly #weights: readonly (kernels.MambaBlockWeights | undefined)[];
  readonly #low = new LowProducts();
  /** Those in use last. */
  #kept: readonly KeptCopies[] = [];

  constructor(blocks: readonly Block[]) {
    this.#blocks = blocks;
    // Parameters are never replaced: these stay theirs.
    this.#weights = blocks.map((block) =>
      fitsConvKernel(block.ssm) ? blockWeights(block) : undefined,
    );
  }

  /** @param x - shape [batch, length, dModel]; the result has the same shape */
  forward(x: Tensor, probe?: UnitProbe): Tensor {
    const stacked = probe ? undefined : this.#stackFor(x.dtype)?.forward(x);
    if (stacked) return stacked;
    return this.#blocks.reduce((stream, block, index) => {
      const weights = this.#weights[index];
      if (weights && !block.training && infersOnCpu(stream, probe)) {
        const used = inLowPrecision(weights, this.#low.of(index));
        return scope(() => kernels.mambaBlock(block.ordered(stream), used, block.norm1.eps));
      }
      if (!probe && hasBranches(block, stream.device)) {
        return scope(() => {
          const matrices = this.#matricesFor(block, index, stream.dtype);
          return runBranches(block.ordered(stream), block, matrices);
        });
      }
      if (weights && takesCpuBranches(stream, probe)) {
        return scope(() => runBranchesOnCpu(block.ordered(stream), block));
      }
      return block.forward(stream, probe);
    }, x);
  }

  /**
   * Keeps copies for the operators of a GPU, as `ImageModel.packWeights` says; undefined where these operators cannot do
   * a block, which then reads copies of the plain kind.
   */
  pack(dtype: DType, fixed: boolean): PackedWeights | undefined {
    if (!this.#blocks.every(({ ssm }) => fitsConvKernel(ssm))) return undefined;
    const packed = this.#blocks.map(({ ssm, mlp }) => new PackedBlock(ssm, mlp, dtype, !fixed));
    const units = packed.flatMap((block) => block.units ?? []);
    const kept: KeptCopies = {
      dtype,
      packed,
      stack: fixed ? this.#stackOf(packed, dtype) : undefined,
    };
    this.#kept = [...this.#kept, kept];
    return {
      parts: packed.flatMap(({ parts }) => parts),
      masters: packed.flatMap(({ masters }) => masters),
      finish: () => {
        kernels.packBranchUnits(units);
      },
      dispose: () => {
        // Those that were there before are used again.
        this.#kept = this.#kept.filter((other) => other !== kept);
        kept.stack?.dispose();
        for (const block of packed) block.dispose();
      },
    };
  }

  /** As `ImageModel.multiplyIn` says. */
  multiplyIn(precision: kernels.ProductPrecision): KeptProducts | undefined {
    const weights = this.#weights.filter((block) => block !== undefined);
    if (weights.length < this.#blocks.length) return undefined;
    const matrices = weights.map((w) => [w.inProj, w.xProj, w.outProj, w.fc1Weight, w.fc2Weight]);
    return this.#low.keep(precision, matrices);
  }

  #stackOf(packed: readonly PackedBlock[], dtype: DType): BlockStack | undefined {
    const [block] = this.#blocks;
    const like = packed[0]?.mlp[0];
    if (!block || !like) return undefined;
    const blocks = this.#blocks.map((each, i) => branchesOf(each, packed[i] as PackedBlock));
    const fused = kernels.hasFusedBlocks(like, block.ssm.sizes.dModel);
    if (!fused && !kernels.hasClusterBlocks(like.device, blocks)) return undefined;
    return new BlockStack(blocks, dtype, fused);
  }

  #stackFor(dtype: DType): BlockStack | undefined {
    const stack = this.#kept.findLast((kept) => kept.dtype === dtype)?.stack;
    if (!stack || isGradEnabled()) return undefined;
    return this.#blocks.every(({ isEvaluating }) => isEvaluating) ? stack : undefined;
  }

  #matricesFor({ ssm, mlp }: Block, index: number, dtype: DType): BranchMatrices {
    if (dtype === 'float32') return { ssm: ssmMatrices(ssm), mlp: mlpWeights(mlp) };
    const kept = this.#kept.findLast((copies) => copies.dtype === dtype);
    if (kept) return kept.packed[index] as PackedBlock;
    // Nobody keeps copies: these are for this call.
    const made = new PackedBlock(ssm, mlp, dtype);
    made.refresh();
    const borrowed = {
      ssm: made.ssm.map((tensor) => tensor.detach()),
      mlp: made.mlp.map((tensor) => tensor.detach()),
    };
    made.dispose();
    return borrowed;
  }
}

/** The same block with other matrices, in the order of `multiplyIn`. */
function inLowPrecision(
  weights: kernels.MambaBlockWeights,
  matrices: readonly Tensor[] | undefined,
): kernels.MambaBlockWeights {
  if (!matrices) return weights;
  const [inProj, xProj, outProj, fc1Weight, fc2Weight] = matrices as [
    Tensor,
    Tensor,
    Tensor,
    Tensor,
    Tensor,
  ];
  return { ...weights, inProj, xProj, outProj, fc1Weight, fc2Weight };
}

/** Whether the operators of a GPU that do a branch each can do a block's. */
function hasBranches({ ssm }: Block, device: string): boolean {
  return kernels.hasFusedBranches(device) && fitsGpuBranch(ssm);
}

/** What the operators of a GPU are given. */
function branchesOf(block: Block, matrices: BranchMatrices): kernels.FusedBlock {
  const { reorder, norm1, ssm, norm2, mlp } = block;
  return {
    reorder,
    norm1,
    ssm: { weights: ssmWeights(ssm), packed: matrices.ssm },
    norm2,
    mlp: { weights: mlpWeights(mlp), packed: matrices.mlp },
  };
}

/** Each branch as one operator of the CPU, forward and backward. @param x - in the block's own order */
function runBranchesOnCpu(x: Tensor, block: Block): Tensor {
  const { norm1, ssm, norm2, mlp } = block;
  const y = kernels.ssmBranchOnCpu(x, norm1, ssmWeights(ssm), dropPathOf(block, x));
  return kernels.mlpBranchOnCpu(y, norm2, mlpWeights(mlp), dropPathOf(block, x));
}

/** Factors of a branch in training. */
function dropPathOf({ training, dropPath }: Block, x: Tensor): Tensor | undefined {
  return training && dropPath > 0 ? F.dropPathScale(x, dropPath) : undefined;
}

/** Each branch as one operator. @param x - in the block's own order */
function runBranches(x: Tensor, block: Block, matrices: BranchMatrices): Tensor {
  const { norm1, ssm, norm2, mlp } = branchesOf(block, matrices);
  const scale = () => dropPathOf(block, x);
  return kernels.mlpBranch(kernels.ssmBranch(x, norm1, ssm, scale()), norm2, mlp, scale());
}
