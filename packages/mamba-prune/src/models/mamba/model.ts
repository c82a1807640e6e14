// Vision Mamba: patches, blocks of a selective SSM and an MLP, mean over the patches, classifier.
//   x = x + ssm(norm1(x));  x = x + mlp(norm2(x))
// The parameter names are those of the PyTorch model, so state dicts cross over both ways.
import {
  type DType,
  F,
  type Tensor,
  isGradEnabled,
  nn,
  noGrad,
  randn,
  scope,
} from '@mamba-prune/libtorch';
import type { PruningGroup } from '../groups.js';
import {
  type MambaConfig,
  checkMambaConfig,
  dtRankGroup,
  mlpGroup,
  ssmGroup,
  stateGroup,
} from './config.js';
import {
  type ImageModel,
  type MacsEntry,
  type PackedWeights,
  type UnitProbe,
  probeOf,
} from '../image-model.js';
import { SelectiveSsm } from './ssm.js';
import { Mlp } from '../layers/mlp.js';
import { BlockStack } from './block-stack.js';
import { PackedBlock } from './packed-block.js';
import { embedPatches } from '../layers/patches.js';
import { reorderBefore } from './scan-order.js';

class Block extends nn.Module {
  readonly norm1: nn.LayerNorm;
  readonly ssm: SelectiveSsm;
  readonly norm2: nn.LayerNorm;
  readonly mlp: Mlp;
  /** For the operator that does a whole block, if it can do this one; parameters are never replaced. */
  readonly #fusedWeights: F.MambaBlockWeights | undefined;
  readonly #reorder: F.TokenOrder | undefined;
  /** Kept copies, those in use last. */
  readonly #packed: PackedBlock[] = [];
  /** Names of the groups that a probe is shown. */
  readonly #groups: { readonly ssm: string; readonly mlp: string };

  constructor(
    config: MambaConfig,
    index: number,
    readonly dropPath: number,
  ) {
    super();
    const { dModel, dConv, widths, scan } = config;
    this.#groups = { ssm: ssmGroup(index), mlp: mlpGroup(index) };
    this.#reorder = reorderBefore(index, scan);
    const dInner = widths[this.#groups.ssm] as number;
    // Files from before these could be pruned name one size for all blocks.
    const dState = widths[stateGroup(index)] ?? config.dState;
    const dtRank = widths[dtRankGroup(index)] ?? config.dtRank;
    this.norm1 = this.child('norm1', new nn.LayerNorm(dModel));
    this.ssm = this.child(
      'ssm',
      new SelectiveSsm({ dModel, dInner, dState, dConv, dtRank }, { bidirectional: scan === 'bi' }),
    );
    this.norm2 = this.child('norm2', new nn.LayerNorm(dModel));
    // The places of the two layers in PyTorch's Sequential(Linear, GELU, Linear).
    this.mlp = this.child('mlp', new Mlp(dModel, widths[this.#groups.mlp] as number, ['0', '2']));
    this.#fusedWeights = this.#collectWeights();
  }

  /**
   * @param x - shape [batch, length, dModel], in the order of the block before
   * @returns the same shape, in the order of this block
   */
  override forward(x: Tensor, probe?: UnitProbe): Tensor {
    return scope(() => {
      const ordered = this.#reorder ? F.reorderTokens(x, this.#reorder) : x;
      const fused = probe ? undefined : this.#fused(x);
      if (fused) return F.mambaBlock(ordered, fused, this.norm1.eps);
      if (!probe && this.hasBranches(x.device)) return this.#onGpu(ordered);
      return this.#forward(ordered, probe);
    });
  }

  /** Whether the operators of a GPU that do a branch each can do this block's. */
  hasBranches(device: string): boolean {
    const { dConv, dState } = this.ssm.sizes;
    if (!F.hasFusedBranches(device) || dConv > F.kernelLimits.convTaps) return false;
    return dState <= F.kernelLimits.gpuStates || !isGradEnabled();
  }

  /** What the operators of a GPU are given; the caller chooses the copies. */
  branches(packed: Pick<PackedBlock, 'ssm' | 'mlp'>): F.FusedBlock {
    return {
      reorder: this.#reorder,
      norm1: this.norm1,
      ssm: { weights: this.ssm.branchWeights(), packed: packed.ssm },
      norm2: this.norm2,
      mlp: { weights: this.mlp.branchWeights(), packed: packed.mlp },
    };
  }

  /** Each branch as one operator. */
  #onGpu(x: Tensor): Tensor {
    const { norm1, norm2, ssm, mlp } = this.branches(this.#packedFor(x.dtype));
    const scale = () =>
      this.training && this.dropPath > 0 ? F.dropPathScale(x, this.dropPath) : undefined;
    return F.mlpBranch(F.ssmBranch(x, norm1, ssm, scale()), norm2, mlp, scale());
  }

  #packedFor(dtype: DType): Pick<PackedBlock, 'ssm' | 'mlp'> {
    if (dtype === 'float32') {
      return { ssm: this.ssm.productWeights(), mlp: this.mlp.branchWeights() };
    }
    const kept = this.#packed.findLast((packed) => packed.dtype === dtype);
    if (kept) return kept;
    // Nobody keeps copies: these are for this call.
    const made = new PackedBlock(this.ssm, this.mlp, dtype);
    made.refresh();
    const [ssm, mlp] = [made.ssm, made.mlp].map((tensors) => tensors.map((t) => t.detach()));
    made.dispose();
    return { ssm, mlp } as Pick<PackedBlock, 'ssm' | 'mlp'>;
  }

  /** Keeps copies of the weights for the operators of a GPU until they are disposed of. */
  pack(dtype: DType): PackedBlock {
    const packed = new PackedBlock(this.ssm, this.mlp, dtype);
    this.#packed.push(packed);
    return packed;
  }

  /** Frees copies; those that were there before are used again. */
  unpack(packed: PackedBlock): void {
    this.#packed.splice(this.#packed.indexOf(packed), 1);
    packed.dispose();
  }

  /** The weights, if one operator can do the whole block: without gradients, float32 on the CPU. */
  #fused(x: Tensor): F.MambaBlockWeights | undefined {
    if (this.training || isGradEnabled() || x.device !== 'cpu' || x.dtype !== 'float32') {
      return undefined;
    }
    return this.#fusedWeights;
  }

  #collectWeights(): F.MambaBlockWeights | undefined {
    const { norm1, norm2, mlp } = this;
    const ssm = this.ssm.fusedWeights();
    if (!ssm || !norm1.weight || !norm1.bias || !norm2.weight || !norm2.bias) return undefined;
    if (!mlp.fc1.bias || !mlp.fc2.bias) return undefined;
    if (this.ssm.sizes.dConv > F.kernelLimits.convTaps) return undefined;
    return {
      ...ssm,
      norm1Weight: norm1.weight,
      norm1Bias: norm1.bias,
      norm2Weight: norm2.weight,
      norm2Bias: norm2.bias,
      fc1Weight: mlp.fc1.weight,
      fc1Bias: mlp.fc1.bias,
      fc2Weight: mlp.fc2.weight,
      fc2Bias: mlp.fc2.bias,
    };
  }

  #forward(x: Tensor, probe?: UnitProbe): Tensor {
    const { ssm, mlp } = this;
    const ssmProbe = probeOf(probe, this.#groups.ssm);
    const mlpProbe = probeOf(probe, this.#groups.mlp);
    if (this.training && this.dropPath > 0) {
      const y = x.add(
        F.dropPath(ssm.forward(this.norm1.forward(x), ssmProbe), this.dropPath, true),
      );
      return y.add(F.dropPath(mlp.forward(this.norm2.forward(y), mlpProbe), this.dropPath, true));
    }
    // Each branch frees what it made before the next begins, which then finds that memory in the cache.
    const y = scope(() => ssm.outProj.forward(ssm.inner(this.norm1.forward(x), ssmProbe), x));
    return scope(() => mlp.fc2.forward(mlp.inner(this.norm2.forward(y), mlpProbe), y));
  }
}

/** A vision Mamba of any widths: the dense one and each of its pruned forms. */
export class VisionMamba extends nn.Module implements ImageModel {
  readonly config: MambaConfig;
  readonly #patchEmbed: nn.Conv2d;
  readonly #posEmbed: Tensor;
  readonly #blocks: readonly Block[];
  readonly #norm: nn.LayerNorm;
  readonly #head: nn.Linear;
  /** While somebody keeps copies of weights that do not change; those in use last. */
  readonly #stacks: BlockStack[] = [];

  constructor(config: MambaConfig) {
    super();
    this.config = checkMambaConfig(config);
    const { dModel, depth, patchSize, channels, numClasses, dropPath } = config;
    this.#patchEmbed = this.child(
      'patch_embed',
      new nn.Conv2d(channels, dModel, patchSize, { stride: patchSize }),
    );
    this.#posEmbed = this.parameter(
      'pos_embed',
      noGrad(() => randn([1, this.length, dModel]).mul(0.02)),
    );
    const blocks = Array.from(
      { length: depth },
      (_, index) => new Block(config, index, (dropPath * index) / Math.max(1, depth - 1)),
    );
    this.#blocks = this.child('blocks', new nn.ModuleList(blocks)).items;
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

  packWeights(dtype: DType, fixed = false): PackedWeights | undefined {
    // Blocks of single operators read copies of the plain kind.
    if (this.config.dConv > F.kernelLimits.convTaps) return undefined;
    const packs = this.#blocks.map((block) => ({ block, packed: block.pack(dtype) }));
    const like = packs[0]?.packed.mlp[0];
    const stack =
      fixed && like && F.hasFusedBlocks(like, this.config.dModel)
        ? new BlockStack(
            packs.map(({ block, packed }) => block.branches(packed)),
            dtype,
          )
        : undefined;
    if (stack) this.#stacks.push(stack);
    return {
      parts: packs.flatMap(({ packed }) => packed.parts),
      masters: packs.flatMap(({ packed }) => packed.masters),
      dispose: () => {
        if (stack) this.#stacks.splice(this.#stacks.indexOf(stack), 1);
        stack?.dispose();
        for (const { block, packed } of packs) block.unpack(packed);
      },
    };
  }

  override forward(images: Tensor, probe?: UnitProbe): Tensor {
    const { channels, imageSize } = this.config;
    const [, c, h, w] = images.shape;
    if (images.ndim !== 4 || c !== channels || h !== imageSize || w !== imageSize) {
      throw new Error(
        `VisionMamba: got images of shape [${images.shape.join(', ')}], expected [batch, ${channels}, ${imageSize}, ${imageSize}]. ` +
          'Resize the images, or make the model with --image-size and --channels.',
      );
    }
    const patches = embedPatches(images, this.#patchEmbed);
    let x = patches.add(F.weightFor(this.#posEmbed, patches.dtype));
    const stack = probe ? undefined : this.#stackFor(x);
    if (stack) x = stack.forward(x);
    else for (const block of this.#blocks) x = block.forward(x, probe);
    return this.#head.forward(F.meanFloat32(this.#norm.forward(x), 1));
  }

  #stackFor(x: Tensor): BlockStack | undefined {
    if (this.#stacks.length === 0 || isGradEnabled() || !this.isEvaluating) return undefined;
    return this.#stacks.findLast(({ dtype }) => dtype === x.dtype);
  }

  pruningGroups(): PruningGroup[] {
    return this.#blocks.flatMap(({ ssm, mlp }, index): PruningGroup[] => {
      const prefix = `blocks.${index}`;
      return [
        {
          name: ssmGroup(index),
          kind: 'ssm',
          size: ssm.sizes.dInner,
          members: ssm.channelMembers(`${prefix}.ssm`),
        },
        {
          name: stateGroup(index),
          kind: 'state',
          size: ssm.sizes.dState,
          members: ssm.stateMembers(`${prefix}.ssm`),
          optional: true,
        },
        {
          name: dtRankGroup(index),
          kind: 'dt_rank',
          size: ssm.sizes.dtRank,
          members: ssm.rankMembers(`${prefix}.ssm`),
          optional: true,
        },
        {
          name: mlpGroup(index),
          kind: 'mlp',
          size: mlp.fc1.weight.size(0),
          members: [
            { parameter: `${prefix}.mlp.0.weight`, dim: 0, scored: true, regularized: true },
            { parameter: `${prefix}.mlp.0.bias`, dim: 0 },
            { parameter: `${prefix}.mlp.2.weight`, dim: 1, scored: true, consumer: true },
          ],
        },
      ];
    });
  }

  macs(): MacsEntry[] {
    const { length } = this;
    const entries: MacsEntry[] = [
      { name: 'patch_embed', macs: length * this.#patchEmbed.weight.numel },
    ];
    this.#blocks.forEach(({ ssm, mlp }, index) => {
      entries.push({ name: ssmGroup(index), macs: ssm.macs(length) });
      entries.push({
        name: mlpGroup(index),
        macs: length * (mlp.fc1.weight.numel + mlp.fc2.weight.numel),
      });
    });
    entries.push({ name: 'head', macs: this.#head.weight.numel });
    return entries;
  }

  withWidths(widths: Readonly<Record<string, number>>): VisionMamba {
    return new VisionMamba({ ...this.config, widths: { ...this.config.widths, ...widths } });
  }
}
