// VMamba: a hierarchical network whose blocks scan the grid of positions in four directions.
//
//   x      = stem(image)                                       two 3x3 convolutions, each with a LayerNorm, GELU between
//   x      = x + op(norm(x))                                   in each block; op.ts
//   x      = x + mlp(norm2(x))
//   x      = downsample(x)                                     between stages: 3x3 convolution of stride 2, LayerNorm
//   logits = classifier.head(mean(classifier.norm(x)))         over the positions
//
// References:
//   [1] Liu et al. 2024, VMamba: Visual State Space Model, arXiv 2401.10166
//
// It is the form of the published models without a gate ("v05_noz"): the block's x and z of Mamba is one projection, and
// no convolution of a block has a bias. Channels are the last dimension everywhere but in convolutions.
//
// Where we differ: the stem may have stride 1 or 2 for small images (config.ts).
//
// The parameter names are VMamba's own, so state dicts cross over both ways.
import { F, type Tensor, nn, noGrad, scope } from '@mamba-prune/libtorch';
import { classLogits } from '@mamba-prune/libtorch/kernels';
import { checkImages, dropPathRate } from '../config-checks.js';
import type { PruningGroup } from '../groups.js';
import {
  type ImageModel,
  type MacsEntry,
  type UnitProbe,
  type UnitWeights,
  probeOf,
} from '../image-model.js';
import { inTurn } from '../layers/in-turn.js';
import { Mlp } from '../layers/mlp.js';
import { residual } from '../layers/residual.js';
import {
  type VMambaConfig,
  blockName,
  checkVMambaConfig,
  dtRankOf,
  gridSides,
  mlpGroup,
  ssmGroup,
  stageWidth,
  stemStrides,
} from './config.js';
import { blockGroups, blockMacs } from './groups.js';
import { CrossScanOp } from './op.js';

/** x = x + op(norm(x)), x = x + mlp(norm2(x)). */
export class Block extends nn.Module {
  /** In the state dict, such as `layers.0.blocks.1`. */
  readonly name: string;
  readonly norm: nn.LayerNorm;
  readonly op: CrossScanOp;
  readonly norm2: nn.LayerNorm;
  readonly mlp: Mlp;
  /** Chance that a sample goes without a branch in training. */
  readonly dropPath: number;

  /** @param dropPath - of this block */
  constructor(config: VMambaConfig, stage: number, index: number, dropPath: number) {
    super();
    this.name = blockName(stage, index);
    this.dropPath = dropPath;
    const { baseWidth, dState, widths } = config;
    const dModel = stageWidth(baseWidth, stage);
    const dInner = widths[ssmGroup(this.name)] as number;
    const hidden = widths[mlpGroup(this.name)] as number;
    const dtRank = dtRankOf(config, stage);
    this.norm = this.child('norm', new nn.LayerNorm(dModel));
    this.op = this.child('op', new CrossScanOp({ dModel, dInner, dState, dtRank }));
    this.norm2 = this.child('norm2', new nn.LayerNorm(dModel));
    this.mlp = this.child('mlp', new Mlp(dModel, hidden, ['fc1', 'fc2']));
  }

  /** @param x - shape [batch, side * side, dModel]; the result has the same shape */
  override forward(x: Tensor, probe?: UnitProbe): Tensor {
    const dropPath = this.training ? this.dropPath : 0;
    const branch = (group: string) => ({ dropPath, probe: probeOf(probe, group) });
    return scope(() => {
      const y = residual(x, this.norm, this.op, branch(ssmGroup(this.name)));
      return residual(y, this.norm2, this.mlp, branch(mlpGroup(this.name)));
    });
  }
}

/** A convolution and the LayerNorm over channels behind it, at the places that PyTorch's Sequential gives them. */
class ConvNorm extends nn.Module {
  readonly conv: nn.Conv2d;
  readonly norm: nn.LayerNorm;

  constructor(from: number, to: number, stride: number) {
    super();
    this.conv = new nn.Conv2d(from, to, 3, { stride, padding: 1 });
    this.norm = new nn.LayerNorm(to);
  }

  /** @param x - shape [batch, height, width, channels], or images; @returns [batch, height', width', channels'] */
  override forward(x: Tensor): Tensor {
    return this.norm.forward(this.conv.forward(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1));
  }
}

class Stem extends nn.Module {
  readonly first: ConvNorm;
  readonly second: ConvNorm;

  constructor(channels: number, width: number, [first, second]: readonly [number, number]) {
    super();
    this.first = new ConvNorm(channels, width / 2, first);
    this.second = new ConvNorm(width / 2, width, second);
    this.child('0', this.first.conv);
    this.child('2', this.first.norm);
    this.child('5', this.second.conv);
    this.child('7', this.second.norm);
  }

  /** @param images - shape [batch, channels, height, width]; @returns [batch, height', width', width of stage 0] */
  override forward(images: Tensor): Tensor {
    return this.second.forward(F.gelu(this.first.forward(images.permute(0, 2, 3, 1)), 'none'));
  }
}

class Stage extends nn.Module {
  readonly blocks: readonly Block[];
  readonly downsample: ConvNorm | undefined;

  constructor(blocks: readonly Block[], downsample: ConvNorm | undefined) {
    super();
    this.blocks = this.child('blocks', new nn.ModuleList(blocks)).items;
    this.downsample = downsample;
    if (!downsample) return;
    const parts = new Parts();
    parts.put('1', downsample.conv);
    parts.put('3', downsample.norm);
    this.child('downsample', parts);
  }

  /** @param x - shape [batch, side, side, width]; @returns that of the next stage */
  override forward(x: Tensor, probe?: UnitProbe): Tensor {
    const [batch = 0, height = 0, width = 0, features = 0] = x.shape;
    return scope(() => {
      const tokens = inTurn(
        this.blocks,
        x.reshape(batch, height * width, features),
        (stream, block) => block.forward(stream, probe),
        probe !== undefined,
      );
      const grid = tokens.reshape(batch, height, width, features);
      return this.downsample?.forward(grid) ?? grid;
    });
  }
}

/** Modules under the names that somebody gives them. */
class Parts extends nn.Module {
  put(name: string, module: nn.Module): void {
    this.child(name, module);
  }

  override forward(x: Tensor): Tensor {
    return x;
  }
}

/** A VMamba of any inner widths: the dense one and each of its pruned forms. */
export class VMamba extends nn.Module implements ImageModel {
  readonly config: VMambaConfig;
  readonly #stem: Stem;
  readonly #stages: readonly Stage[];
  readonly #norm: nn.LayerNorm;
  readonly #head: nn.Linear;

  constructor(config: VMambaConfig) {
    super();
    this.config = checkVMambaConfig(config);
    const { baseWidth, blocks, channels, numClasses, stemStride } = config;
    this.#stem = this.child('patch_embed', new Stem(channels, baseWidth, stemStrides(stemStride)));
    this.#stages = this.child('layers', new nn.ModuleList(makeStages(config))).items;
    const last = stageWidth(baseWidth, blocks.length - 1);
    const classifier = this.child('classifier', new Parts());
    this.#norm = new nn.LayerNorm(last);
    this.#head = new nn.Linear(last, numClasses);
    classifier.put('norm', this.#norm);
    classifier.put('head', this.#head);
    noGrad(() => {
      // Every block adds two branches to the residual stream, as in the other models here: scaled down by their number
      // the stream's variance does not grow with depth.
      const all = this.#blocks;
      const factor = 1 / Math.sqrt(2 * all.length);
      for (const { op, mlp } of all) {
        op.outProj.weight.mul_(factor);
        mlp.fc2.weight.mul_(factor);
      }
    });
  }

  get #blocks(): Block[] {
    return this.#stages.flatMap(({ blocks }) => blocks);
  }

  override forward(images: Tensor, probe?: UnitProbe): Tensor {
    checkImages('VMamba', images, this.config);
    const first = scope(() => this.#stem.forward(images));
    const x = inTurn(
      this.#stages,
      first,
      (stream, stage) => stage.forward(stream, probe),
      probe !== undefined,
    );
    return classLogits(F.meanFloat32(this.#norm.forward(x), [1, 2]), this.#head);
  }

  pruningGroups(): PruningGroup[] {
    return this.#blocks.flatMap(blockGroups);
  }

  normOver(group: string): UnitWeights | undefined {
    return this.#blocks.find(({ name }) => ssmGroup(name) === group)?.op.outNorm;
  }

  macs(): MacsEntry[] {
    const { config } = this;
    const sides = gridSides(config);
    const { first, second } = this.#stem;
    const firstSide = Math.ceil(config.imageSize / stemStrides(config.stemStride)[0]);
    const stem =
      firstSide ** 2 * first.conv.weight.numel +
      (sides[0] as number) ** 2 * second.conv.weight.numel;
    return [
      { name: 'patch_embed', macs: stem },
      ...this.#stages.flatMap(({ blocks, downsample }, stage): MacsEntry[] => [
        ...blocks.flatMap((block) => blockMacs(block, (sides[stage] as number) ** 2)),
        ...(downsample
          ? [
              {
                name: `layers.${stage}.downsample`,
                macs: (sides[stage + 1] as number) ** 2 * downsample.conv.weight.numel,
              },
            ]
          : []),
      ]),
      { name: 'classifier.head', macs: this.#head.weight.numel },
    ];
  }

  withWidths(widths: Readonly<Record<string, number>>): VMamba {
    return new VMamba({ ...this.config, widths: { ...this.config.widths, ...widths } });
  }
}

function makeStages(config: VMambaConfig): Stage[] {
  const { baseWidth, blocks, dropPath } = config;
  const depth = blocks.reduce((sum, count) => sum + count, 0);
  let made = 0;
  return blocks.map((count, stage) => {
    const own = Array.from({ length: count }, (_, index) => {
      return new Block(config, stage, index, dropPathRate(dropPath, made++, depth));
    });
    const isLast = stage === blocks.length - 1;
    const [from, to] = [stageWidth(baseWidth, stage), stageWidth(baseWidth, stage + 1)];
    return new Stage(own, isLast ? undefined : new ConvNorm(from, to, 2));
  });
}
