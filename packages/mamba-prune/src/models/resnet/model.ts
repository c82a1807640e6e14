// Residual network, as torchvision builds it.
//
//   x      = pool(relu(bn1(conv1(image))))                     the stem; that of CIFAR has no pooling
//   x      = relu(branch(x) + shortcut(x))                     in each block; a branch is two convolutions, or three:
//              bn2(conv2(relu(bn1(conv1(x)))))                   `basic`, 3x3 each
//              bn3(conv3(relu(bn2(conv2(relu(bn1(conv1(x)))))))) `bottleneck`, 1x1, 3x3, 1x1
//   logits = fc(mean(x))                                       over the pixels
//
// References:
//   [1] He et al. 2016, Deep Residual Learning for Image Recognition, arXiv 1512.03385: equations 1 and 2, table 1
//
// Where we differ from [1], as torchvision does: bottlenecks have their stride in the 3x3 convolution ("v1.5"), and every
// shortcut that changes shape is a 1x1 convolution with BatchNorm (option B), the networks for CIFAR included.
//
// The parameter names are torchvision's, so state dicts cross over both ways.
import { F, type Tensor, nn, ops, scope } from '@mamba-prune/libtorch';
import { classLogits } from '@mamba-prune/libtorch/kernels';
import { checkImages, dropPathRate } from '../config-checks.js';
import type { PruningGroup } from '../groups.js';
import { type ImageModel, type MacsEntry, type UnitProbe, probeOf } from '../image-model.js';
import { inTurn } from '../layers/in-turn.js';
import { infersOnCpu } from '../layers/running.js';
import {
  type ResNetConfig,
  blockName,
  checkResNetConfig,
  expansions,
  innerConvs,
  stageWidth,
} from './config.js';
import { blockGroups, groupName, networkMacs } from './groups.js';
import { FusedResNet } from './run.js';

/** Without bias, which BatchNorm has; the image keeps its size at stride 1. */
function conv(from: number, to: number, kernel: number, stride = 1): nn.Conv2d {
  return new nn.Conv2d(from, to, kernel, { stride, padding: kernel >> 1, bias: false });
}

/** A convolution without bias and the BatchNorm behind it. */
export interface ConvNorm {
  readonly conv: nn.Conv2d;
  readonly bn: nn.BatchNorm2d;
}

interface BlockSizes {
  readonly name: string;
  readonly from: number;
  /** Channels after each convolution. */
  readonly channels: readonly number[];
  readonly kernels: readonly number[];
  /** Of the first 3x3 convolution and of the shortcut. */
  readonly stride: number;
  readonly dropPath: number;
}

/** relu(convolutions(x) + shortcut(x)): two or three convolutions; all but the last can lose channels. */
export class Block extends nn.Module {
  /** In the state dict, such as `layer1.0`. */
  readonly name: string;
  /** Chance that a sample goes without the branch in training. */
  readonly dropPath: number;
  readonly layers: readonly ConvNorm[];
  /** Where the shape changes; elsewhere the shortcut is x itself. */
  readonly shortcut: ConvNorm | undefined;

  constructor({ name, from, channels, kernels, stride, dropPath }: BlockSizes) {
    super();
    this.name = name;
    this.dropPath = dropPath;
    const out = channels.at(-1) as number;
    this.layers = channels.map((to, i): ConvNorm => {
      const kernel = kernels[i] as number;
      const strided = i === kernels.indexOf(3);
      const made = conv(channels[i - 1] ?? from, to, kernel, strided ? stride : 1);
      return {
        conv: this.child(`conv${i + 1}`, made),
        bn: this.child(`bn${i + 1}`, new nn.BatchNorm2d(to)),
      };
    });
    if (stride === 1 && from === out) return;
    this.shortcut = { conv: conv(from, out, 1, stride), bn: new nn.BatchNorm2d(out) };
    this.child('downsample', new nn.Sequential(this.shortcut.conv, this.shortcut.bn));
  }

  /**
   * Operator by operator; `FusedResNet` is faster.
   * @param x - shape [batch, from, height, width]
   */
  override forward(x: Tensor, probe?: UnitProbe): Tensor {
    return scope(() => {
      const branch = scope(() => F.dropPath(this.#branch(x, probe), this.dropPath, this.training));
      const skipped = this.shortcut ? normed(x, this.shortcut) : x;
      return branch.add(skipped).relu();
    });
  }

  #branch(x: Tensor, probe?: UnitProbe): Tensor {
    const last = this.layers.length - 1;
    return this.layers.reduce((value, layer, i) => {
      const y = normed(value, layer);
      return i === last ? y : this.#units(y.relu(), i, probe);
    }, x);
  }

  /** The channels after layer `layer`, as a probe wants them. */
  #units(activated: Tensor, layer: number, probe?: UnitProbe): Tensor {
    const unit = probeOf(probe, groupName(this.name, layer));
    const y = unit?.gate(activated, 1) ?? activated;
    unit?.output(y, 1);
    return y;
  }
}

/** bn(conv(x)). */
const normed = (x: Tensor, { conv, bn }: ConvNorm): Tensor => bn.forward(conv.forward(x));

/** A residual network of any inner widths: the dense one and each of its pruned forms. */
export class ResNet extends nn.Module implements ImageModel {
  readonly config: ResNetConfig;
  readonly #stem: ConvNorm;
  readonly #blocks: readonly Block[];
  readonly #fc: nn.Linear;
  readonly #fused: FusedResNet;

  constructor(config: ResNetConfig) {
    super();
    this.config = checkResNetConfig(config);
    const { stem, channels, baseWidth, numClasses } = config;
    const first = stem === 'cifar' ? conv(channels, baseWidth, 3) : conv(channels, baseWidth, 7, 2);
    this.#stem = {
      conv: this.child('conv1', first),
      bn: this.child('bn1', new nn.BatchNorm2d(baseWidth)),
    };
    const stages = makeStages(config).map((blocks, stage) =>
      this.child(`layer${stage + 1}`, new nn.ModuleList(blocks)),
    );
    this.#blocks = stages.flatMap(({ items }) => items);
    this.#fc = this.child('fc', new nn.Linear(lastWidth(config), numClasses));
    this.#fused = this.derived(
      new FusedResNet({ stem: this.#stem, pools: this.#pools, blocks: this.#blocks }),
    );
    // torchvision's; like there after everything is made, so that a seed gives the same weights.
    for (const module of this.namedModules().values()) {
      if (!(module instanceof nn.Conv2d)) continue;
      nn.init.kaimingNormal(module.weight, { mode: 'fan_out', nonlinearity: 'relu' });
    }
  }

  /** Whether the stem ends in a max pooling. */
  get #pools(): boolean {
    return this.config.stem === 'imagenet';
  }

  override forward(images: Tensor, probe?: UnitProbe): Tensor {
    checkImages('ResNet', images, this.config);
    const features = this.#canFuse(images, probe)
      ? scope(() => this.#fused.forward(images))
      : this.#features(images, probe);
    return classLogits(features, this.#fc);
  }

  /** Shape [batch, width of the last stage]. */
  #features(images: Tensor, probe?: UnitProbe): Tensor {
    const first = scope(() => {
      const y = normed(images, this.#stem).relu();
      return this.#pools ? ops.maxPool2d(y, 3, 2, 1) : y;
    });
    const step = (stream: Tensor, block: Block): Tensor => block.forward(stream, probe);
    return F.meanFloat32(inTurn(this.#blocks, first, step, probe !== undefined), [2, 3]);
  }

  #canFuse(images: Tensor, probe?: UnitProbe): boolean {
    // Weights of another type than the images: the first convolution says what is wrong.
    return (
      [images, this.#stem.conv.weight].every((tensor) => infersOnCpu(tensor, probe)) &&
      this.isEvaluating
    );
  }

  pruningGroups(): PruningGroup[] {
    return this.#blocks.flatMap(blockGroups);
  }

  macs(): MacsEntry[] {
    return networkMacs(this.config.imageSize, {
      conv1: this.#stem.conv,
      pools: this.#pools,
      blocks: this.#blocks,
      fc: this.#fc,
    });
  }

  withWidths(widths: Readonly<Record<string, number>>): ResNet {
    return new ResNet({ ...this.config, widths: { ...this.config.widths, ...widths } });
  }
}

/** Channels of the residual stream after stage `stage`. */
const streamWidth = ({ block, baseWidth }: ResNetConfig, stage: number): number =>
  stageWidth(baseWidth, stage) * expansions[block];

const lastWidth = (config: ResNetConfig): number => streamWidth(config, config.blocks.length - 1);

function makeStages(config: ResNetConfig): Block[][] {
  const { block, blocks, baseWidth, widths, dropPath } = config;
  const depth = blocks.reduce((sum, count) => sum + count, 0);
  let from = baseWidth;
  let made = 0;
  return blocks.map((count, stage) =>
    Array.from({ length: count }, (_, index) => {
      const name = blockName(stage, index);
      const inner = innerConvs[block].map((conv) => widths[`${name}.${conv}`] as number);
      const to = streamWidth(config, stage);
      const result = new Block({
        name,
        from,
        channels: [...inner, to],
        kernels: block === 'basic' ? [3, 3] : [1, 3, 1],
        stride: stage > 0 && index === 0 ? 2 : 1,
        dropPath: dropPathRate(dropPath, made++, depth),
      });
      from = to;
      return result;
    }),
  );
}
