// Vision Mamba: patches, blocks of a selective SSM and an MLP, mean over the patches, classifier.
//
//   x      = patch_embed(image) + pos_embed                    one token for each patch
//   x      = x + ssm(norm1(x))                                 in each block; ssm.ts
//   x      = x + mlp(norm2(x))
//   logits = head(mean(norm(x)))                               over the patches
//
// References:
//   [1] Gu and Dao 2023, Mamba: Linear-Time Sequence Modeling with Selective State Spaces, arXiv 2312.00752
//   [2] Zhu et al. 2024, Vision Mamba: Efficient Visual Representation Learning with Bidirectional State Space
//       Model, arXiv 2401.09417
//
// Glossary, from the names here to the symbols of the papers:
//
//   here              [1]       [2]
//   batch             B         B
//   length            L         M         positions of a sequence; here the patches of an image, J in [2]
//   dModel            D         D         width of the residual stream
//   dInner            E D       E         channels of the SSM, which algorithm 2 of [1] calls D
//   dState            N         N         states of a channel
//   dtRank            R                   rank of the projection that makes Δ: section 3.6 of [1]
//   dConv                                 taps of the convolution
//   delta             Δ         Δ         step sizes
//   A_log             log(-A)             A is diagonal, with a row of states for each channel
//   B, C, D           B, C, D   B, C      B and C are made from the input: this is what "selective" means
//
// Where we differ:
//   - Every block also has an MLP, as in a transformer. In [1] and [2] the SSM with its gate is the whole block.
//   - LayerNorm stands in front of each branch. The official code of [1] and [2] has RMSNorm.
//   - There is no class token: the classifier reads the mean over the patches. [2] has a token in the middle of them.
//   - The scan has one direction unless it is asked for two, as in [2], or four by turns: scan-order.ts.
//   - B is discretised as Δ B, as in the official code. Equation 4 of [1] has (Δ A)^-1 (exp(Δ A) - 1) Δ B.
//
// The parameter names are those of the PyTorch model, so state dicts cross over both ways.
import { type DType, F, type Tensor, nn, noGrad, randn, scope } from '@mamba-prune/libtorch';
import { type ProductPrecision, classLogits, normMean } from '@mamba-prune/libtorch/kernels';
import { checkImages, dropPathRate } from '../config-checks.js';
import type { PruningGroup } from '../groups.js';
import {
  type ImageModel,
  type MacsEntry,
  type PackedWeights,
  type UnitProbe,
  probeOf,
} from '../image-model.js';
import type { KeptProducts } from '../layers/low-products.js';
import { Mlp } from '../layers/mlp.js';
import { PatchProduct } from '../layers/patch-product.js';
import { residual } from '../layers/residual.js';
import {
  type MambaConfig,
  checkMambaConfig,
  dtRankGroup,
  mlpGroup,
  ssmGroup,
  stateGroup,
} from './config.js';
import { blockGroups, blockMacs } from './groups.js';
import { BlockRunner } from './run.js';
import { reorderBefore } from './scan-order.js';
import { SelectiveSsm } from '../layers/ssm.js';

/** x = x + ssm(norm1(x)), x = x + mlp(norm2(x)). */
export class Block extends nn.Module {
  readonly norm1: nn.LayerNorm;
  readonly ssm: SelectiveSsm;
  readonly norm2: nn.LayerNorm;
  readonly mlp: Mlp;
  /** Chance that a sample goes without a branch in training. */
  readonly dropPath: number;
  /** What is done to the order of the tokens first. */
  readonly reorder: F.TokenOrder | undefined;
  /** Names of the groups that a probe is shown. */
  readonly #groups: { readonly ssm: string; readonly mlp: string };

  constructor(config: MambaConfig, index: number) {
    super();
    const { dModel, dConv, widths, scan, dropPath, depth } = config;
    this.#groups = { ssm: ssmGroup(index), mlp: mlpGroup(index) };
    this.dropPath = dropPathRate(dropPath, index, depth);
    this.reorder = reorderBefore(index, scan);
    const sizes = {
      dModel,
      dInner: widths[this.#groups.ssm] as number,
      // Files from before these could be pruned name one size for all blocks.
      dState: widths[stateGroup(index)] ?? config.dState,
      dConv,
      dtRank: widths[dtRankGroup(index)] ?? config.dtRank,
    };
    const hidden = widths[this.#groups.mlp] as number;
    this.norm1 = this.child('norm1', new nn.LayerNorm(dModel));
    this.ssm = this.child('ssm', new SelectiveSsm(sizes, { bidirectional: scan === 'bi' }));
    this.norm2 = this.child('norm2', new nn.LayerNorm(dModel));
    // The places of the two layers in PyTorch's Sequential(Linear, GELU, Linear).
    this.mlp = this.child('mlp', new Mlp(dModel, hidden, ['0', '2']));
  }

  /**
   * Operator by operator; `BlockRunner` knows faster ways.
   * @param x - shape [batch, length, dModel], in the order of the block before
   * @returns the same shape, in the order of this block
   */
  override forward(x: Tensor, probe?: UnitProbe): Tensor {
    const dropPath = this.training ? this.dropPath : 0;
    const branch = (group: string) => ({ dropPath, probe: probeOf(probe, group) });
    return scope(() => {
      const y = residual(this.ordered(x), this.norm1, this.ssm, branch(this.#groups.ssm));
      return residual(y, this.norm2, this.mlp, branch(this.#groups.mlp));
    });
  }

  /** The tokens in the order in which this block scans them. */
  ordered(x: Tensor): Tensor {
    return this.reorder ? F.reorderTokens(x, this.reorder) : x;
  }
}

/** A vision Mamba of any widths: the dense one and each of its pruned forms. */
export class VisionMamba extends nn.Module implements ImageModel {
  readonly config: MambaConfig;
  readonly #patchEmbed: nn.Conv2d;
  readonly #patches: PatchProduct;
  readonly #posEmbed: Tensor;
  readonly #blocks: readonly Block[];
  readonly #norm: nn.LayerNorm;
  readonly #head: nn.Linear;
  readonly #runner: BlockRunner;

  constructor(config: MambaConfig) {
    super();
    this.config = checkMambaConfig(config);
    const { dModel, depth, patchSize, channels, numClasses } = config;
    this.#patchEmbed = this.child(
      'patch_embed',
      new nn.Conv2d(channels, dModel, patchSize, { stride: patchSize }),
    );
    this.#patches = new PatchProduct(this.#patchEmbed);
    this.#posEmbed = this.parameter(
      'pos_embed',
      noGrad(() => randn([1, this.length, dModel]).mul(0.02)),
    );
    const blocks = Array.from({ length: depth }, (_, index) => new Block(config, index));
    this.#blocks = this.child('blocks', new nn.ModuleList(blocks)).items;
    this.#runner = this.derived(new BlockRunner(this.#blocks));
    this.#norm = this.child('norm', new nn.LayerNorm(dModel));
    this.#head = this.child('head', new nn.Linear(dModel, numClasses));
    noGrad(() => {
      // Every block adds two branches to the residual stream; scaled down by their number the
      // stream's variance does not grow with depth (as GPT-2 and the official Mamba code do).
      const factor = 1 / Math.sqrt(2 * depth);
      for (const { ssm, mlp } of this.#blocks) {
        ssm.outProj.weight.mul_(factor);
        mlp.fc2.weight.mul_(factor);
      }
    });
  }

  /** Patches of one image. */
  get length(): number {
    return (this.config.imageSize / this.config.patchSize) ** 2;
  }

  override forward(images: Tensor, probe?: UnitProbe): Tensor {
    checkImages('VisionMamba', images, this.config);
    const embedded = this.#patches.withPositions(images, this.#posEmbed, probe);
    // All blocks, one after the other, by their own `forward` or by something faster.
    const x = this.#runner.forward(embedded, probe);
    return classLogits(normMean(x, this.#norm), this.#head);
  }

  packWeights(dtype: DType, fixed = false): PackedWeights | undefined {
    return this.#runner.pack(dtype, fixed);
  }

  multiplyIn(precision: ProductPrecision): KeptProducts | undefined {
    return this.#patches.along(this.#runner.multiplyIn(precision));
  }

  pruningGroups(): PruningGroup[] {
    return this.#blocks.flatMap(blockGroups);
  }

  macs(): MacsEntry[] {
    return [
      { name: 'patch_embed', macs: this.length * this.#patchEmbed.weight.numel },
      ...this.#blocks.flatMap((block, index) => blockMacs(block, index, this.length)),
      { name: 'head', macs: this.#head.weight.numel },
    ];
  }

  withWidths(widths: Readonly<Record<string, number>>): VisionMamba {
    return new VisionMamba({ ...this.config, widths: { ...this.config.widths, ...widths } });
  }
}
