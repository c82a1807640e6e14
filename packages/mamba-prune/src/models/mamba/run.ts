// How the blocks of a vision Mamba run. layers/running.ts says which ways there are, and what the kinds of copies are.
import {
  type DType,
  DerivedWeights,
  F,
  type Tensor,
  isGradEnabled,
  scope,
} from '@mamba-prune/libtorch';
import * as kernels from '@mamba-prune/libtorch/kernels';
import type { PackedWeights, UnitProbe } from '../image-model.js';
import { inTurn } from '../layers/in-turn.js';
import { type KeptProducts, LowProducts, packNarrow } from '../layers/low-products.js';
import { type KeptCopies, MatrixCopies, type MatrixForms } from '../layers/matrix-copies.js';
import { PanelMatrices } from '../layers/panel-matrices.js';
import { fitsConvKernel, fitsGpuBranch, infersOnCpu, takesCpuBranches } from '../layers/running.js';
import { scanPlaces, ssmMatrices, ssmWeights } from '../layers/scan-weights.js';
import { inStepOrder } from '../layers/step-order.js';
import { BlockStack } from './block-stack.js';
import type { Block } from './model.js';
import { blockWeights, mlpWeights } from './operator-weights.js';
import { PackedBlock } from './packed-block.js';

/** What the matrix products of a block's two branches read. */
type BranchMatrices = Pick<PackedBlock, 'ssm' | 'mlp'>;

const blockMatrices: MatrixForms<Block, BranchMatrices> = {
  parameters: ({ ssm, mlp }) => ({ ssm: ssmMatrices(ssm), mlp: mlpWeights(mlp) }),
  pack: ({ ssm, mlp }, dtype) => new PackedBlock(ssm, mlp, dtype),
};

/** All blocks, one after the other, each the fastest way that there is for it. */
export class BlockRunner {
  readonly #blocks: readonly Block[];
  /** For the operator that does a whole block, of those blocks that it can do. */
  readonly #weights: readonly (kernels.MambaBlockWeights | undefined)[];
  /** What the products of these blocks read. */
  readonly #matrices: readonly (readonly Tensor[] | undefined)[];
  readonly #panels: PanelMatrices;
  readonly #low: LowProducts;
  readonly #copies: MatrixCopies<Block, BranchMatrices>;
  /** Of copies whose weights stay as they are, where an operator for all blocks takes their sizes. */
  readonly #stacks = new WeakMap<KeptCopies<BranchMatrices>, BlockStack>();

  constructor(blocks: readonly Block[]) {
    this.#blocks = blocks;
    this.#copies = new MatrixCopies(blocks, blockMatrices);
    // Parameters are never replaced: these stay theirs.
    this.#weights = blocks.map((block) =>
      fitsConvKernel(block.ssm) ? blockWeights(block) : undefined,
    );
    this.#matrices = this.#weights.map((weights) => weights && matricesOf(weights));
    this.#panels = new PanelMatrices(this.#matrices);
    this.#low = new LowProducts(this.#matrices);
  }

  /** @param x - shape [batch, length, dModel]; the result has the same shape */
  forward(x: Tensor, probe?: UnitProbe): Tensor {
    const stacked = probe ? undefined : this.#stackFor(x.dtype)?.forward(x);
    if (stacked) return stacked;
    let panels: ReturnType<PanelMatrices['get']> | undefined;
    const step = (stream: Tensor, block: Block, index: number): Tensor => {
      const weights = this.#weights[index];
      if (weights && !block.training && infersOnCpu(stream, probe)) {
        const low = this.#low.of(index);
        const used = low
          ? withLow(weights, low)
          : withMatrices(weights, (panels ??= this.#panels.get())[index]);
        return scope(() => kernels.mambaBlock(block.ordered(stream), used, block.norm1.eps));
      }
      if (!probe && hasBranches(block, stream.device)) {
        return scope(() => {
          const matrices = this.#copies.of(index, stream.dtype);
          return runBranches(block.ordered(stream), block, matrices);
        });
      }
      if (weights && takesCpuBranches(stream, probe)) {
        return scope(() => runBranchesOnCpu(block.ordered(stream), block));
      }
      return block.forward(stream, probe);
    };
    return inTurn(this.#blocks, x, step, probe !== undefined);
  }

  /**
   * Keeps copies for the operators of a GPU, as `ImageModel.packWeights` says; undefined where these operators cannot do
   * a block, which then reads copies of the plain kind.
   */
  pack(dtype: DType, fixed: boolean): PackedWeights | undefined {
    if (!this.#blocks.every(({ ssm }) => fitsConvKernel(ssm))) return undefined;
    const packed = this.#blocks.map(({ ssm, mlp }) => new PackedBlock(ssm, mlp, dtype, !fixed));
    const units = packed.flatMap((block) => block.units ?? []);
    const kept = this.#copies.keep(dtype, packed);
    const stack = fixed ? this.#stackOf(kept) : undefined;
    if (stack) this.#stacks.set(kept, stack);
    return {
      ...kept,
      finish: () => {
        kernels.packBranchUnits(units);
      },
      dispose: () => {
        kept.dispose();
        stack?.dispose();
      },
    };
  }

  /** As `ImageModel.multiplyIn` says. */
  multiplyIn(precision: kernels.ProductPrecision): KeptProducts | undefined {
    const blocks = this.#weights.filter((block) => block !== undefined);
    if (blocks.length < this.#blocks.length) return undefined;
    // Else these would be in memory beside those in low precision.
    this.#panels.release();
    return this.#low.keep(blocks.map((block) => lowWeights(block, precision)));
  }

  /** Frees what was made for inference on the CPU; the next use makes it again. */
  release(): void {
    this.#panels.release();
    this.#low.release();
  }

  #stackOf({ dtype, layers }: KeptCopies<BranchMatrices>): BlockStack | undefined {
    const [block] = this.#blocks;
    const like = layers[0]?.mlp[0];
    if (!block || !like) return undefined;
    const blocks = this.#blocks.map((each, i) => branchesOf(each, layers[i] as BranchMatrices));
    const fused = kernels.hasFusedBlocks(like, block.ssm.sizes.dModel);
    if (!fused && !kernels.hasClusterBlocks(like.device, blocks)) return undefined;
    return new BlockStack(blocks, dtype, fused);
  }

  #stackFor(dtype: DType): BlockStack | undefined {
    const kept = this.#copies.newest(dtype);
    const stack = kept && this.#stacks.get(kept);
    if (!stack || isGradEnabled()) return undefined;
    return this.#blocks.every(({ isEvaluating }) => isEvaluating) ? stack : undefined;
  }
}

/** What the products of a block read, but for the narrow one that makes the step sizes. */
function matricesOf(w: kernels.MambaBlockWeights): Tensor[] {
  return [w.inProj, w.xProj, w.outProj, w.fc1Weight, w.fc2Weight];
}

/** The same block with other matrices, in the order of `matricesOf`. */
function withMatrices(
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

/** What a block reads in low precision in place of its weights, in the order that `withLow` takes. */
function lowWeights(
  w: kernels.MambaBlockWeights,
  precision: kernels.ProductPrecision,
): DerivedWeights {
  const scans = [w.convWeight, w.convBias, w.xProj, w.dtWeight, w.dtBias, w.aLog, w.d];
  const mlp = [w.fc1Weight, w.fc2Weight];
  return new DerivedWeights([w.inProj, w.outProj, ...scans, ...mlp], () => {
    const ssm = inStepOrder({ inProj: w.inProj, outProj: w.outProj, scans });
    const pack = (matrix: Tensor): Tensor => kernels.packProduct(matrix, precision);
    return [
      pack(ssm.inProj),
      pack(ssm.outProj),
      ...ssm.scans.map((tensor, place) =>
        place === scanPlaces.xProj ? packNarrow(tensor, precision) : tensor,
      ),
      ...mlp.map(pack),
    ];
  });
}

function withLow(
  weights: kernels.MambaBlockWeights,
  low: readonly Tensor[],
): kernels.MambaBlockWeights {
  const [inProj, outProj, convWeight, convBias, xProj, dtWeight, dtBias, aLog, d, fc1, fc2] =
    low as [Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor];
  const ssm = { inProj, outProj, convWeight, convBias, xProj, dtWeight, dtBias, aLog, d };
  return { ...weights, ...ssm, fc1Weight: fc1, fc2Weight: fc2 };
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
