// Residual networks (He et al. 2016, arXiv 1512.03385) with the parameter names of torchvision's
// ResNet, so that state dicts cross over both ways. As there, bottlenecks have their stride in the
// 3x3 convolution ("v1.5"), and a shortcut that changes shape is a 1x1 convolution with BatchNorm.
import { type Tensor, F, isGradEnabled, nn, ops, scope } from '@mamba-prune/libtorch';
import type { PruningGroup } from '../groups.js';
import { checkImages, dropPathRate } from '../config-checks.js';
import { type ImageModel, type MacsEntry, type UnitProbe, probeOf } from '../image-model.js';
import {
  type ResNetConfig,
  blockName,
  checkResNetConfig,
  expansions,
  innerConvs,
  stageWidth,
} from './config.js';
import { type ConvNorm, FusedConvolutions } from './run.js';

/** Without bias, which BatchNorm has; the image keeps its size at stride 1. */
function conv(from: number, to: number, kernel: number, stride = 1): nn.Conv2d {
  return new nn.Conv2d(from, to, kernel, { stride, padding: kernel >> 1, bias: false });
}

/** Side of what a convolution or pooling with padding kernel >> 1 gives for a side of `side`. */
const sideAfter = (side: number, kernel: number, stride: number): number =>
  Math.floor((side + 2 * (kernel >> 1) - kernel) / stride) + 1;

interface BlockSizes {
  /** Name in the state dict, such as `layer1.0`. */
  readonly name: string;
  readonly from: number;
  /** Channels after each convolution. */
  readonly channels: readonly number[];
  readonly kernels: readonly number[];
  /** Of the first 3x3 convolution and of the shortcut. */
  readonly stride: number;
  /** Chance to skip the block in training. */
  readonly dropPath: number;
}

/** Two or three convolutions beside a shortcut; all but the last convolution can lose channels. */
class Block extends nn.Module {
  readonly #layers: readonly ConvNorm[];
  readonly #downsample: nn.Sequential | undefined;
  readonly #shortcut: nn.Conv2d | undefined;
  readonly #fused: FusedConvolutions;

  constructor(readonly sizes: BlockSizes) {
    super();
    const { from, channels, kernels, stride } = sizes;
    const out = channels.at(-1) as number;
    this.#layers = channels.map((to, i): ConvNorm => {
      const kernel = kernels[i] as number;
      const strided = i === kernels.indexOf(3);
      const made = conv(channels[i - 1] ?? from, to, kernel, strided ? stride : 1);
      return {
        conv: this.child(`conv${i + 1}`, made),
        bn: this.child(`bn${i + 1}`, new nn.BatchNorm2d(to)),
      };
    });
    if (stride !== 1 || from !== out) {
      this.#shortcut = conv(from, out, 1, stride);
      const bn = new nn.BatchNorm2d(out);
      this.#downsample = this.child('downsample', new nn.Sequential(this.#shortcut, bn));
      this.#fused = new FusedConvolutions(this.#layers, { conv: this.#shortcut, bn });
    } else {
      this.#fused = new FusedConvolutions(this.#layers, 'identity');
    }
  }

  /** The block as one operator. @param x - shape [batch, height, width, from], unlike `forward` */
  fused(x: Tensor): Tensor {
    return this.#fused.forward(x);
  }

  override train(on = true): this {
    if (on) this.#fused.release();
    return super.train(on);
  }

  override dispose(): void {
    this.#fused.release();
    super.dispose();
  }

  /** @param x - shape [batch, from, height, width] */
  override forward(x: Tensor, probe?: UnitProbe): Tensor {
    return scope(() => {
      const branch = scope(() =>
        F.dropPath(this.#branch(x, probe), this.sizes.dropPath, this.training),
      );
      return branch.add(this.#downsample?.forward(x) ?? x).relu();
    });
  }

  #branch(x: Tensor, probe?: UnitProbe): Tensor {
    const last = this.#layers.length - 1;
    return this.#layers.reduce((value, layer, i) => {
      const normed = layer.bn.forward(layer.conv.forward(value));
      if (i === last) return normed;
      const unit = probeOf(probe, this.#groupName(i));
      const activated = normed.relu();
      const y = unit?.gate(activated, 1) ?? activated;
      unit?.output(y, 1);
      return y;
    }, x);
  }

  #groupName(layer: number): string {
    return `${this.sizes.name}.conv${layer + 1}`;
  }

  /**
   * The channels between two convolutions. With weight and bias of BatchNorm at zero a channel is zero
   * whatever its statistics say: they divide by sqrt(variance + eps), never by zero.
   *
   * Scored are the filters on both sides, as the two layers of an MLP are (with the first alone it would
   * be Li et al. 2017, arXiv 1608.08710). Regularised is the side that reads: BatchNorm takes the size
   * of the filter that makes a channel away again, so shrinking that one would change nothing.
   */
  groups(): PruningGroup[] {
    const { name } = this.sizes;
    return this.#layers.slice(0, -1).map((layer, i): PruningGroup => ({
      name: this.#groupName(i),
      kind: 'channels',
      size: layer.conv.outChannels,
      members: [
        { parameter: `${name}.conv${i + 1}.weight`, dim: 0, scored: true },
        ...['weight', 'bias', 'running_mean', 'running_var'].map((part) => ({
          parameter: `${name}.bn${i + 1}.${part}`,
          dim: 0,
        })),
        {
          parameter: `${name}.conv${i + 2}.weight`,
          dim: 1,
          scored: true,
          regularized: true,
          consumer: true,
        },
      ],
    }));
  }

  /**
   * One entry per group, with the convolutions on both its sides; the one between two groups counts
   * for the first, as its parameters do.
   * @param side - of the square input
   */
  macs(side: number): { readonly entries: MacsEntry[]; readonly side: number } {
    const { name, kernels } = this.sizes;
    const entries: MacsEntry[] = [];
    let at = side;
    const counts = this.#layers.map((layer, i) => {
      at = sideAfter(at, kernels[i] as number, layer.conv.stride as number);
      return at * at * layer.conv.weight.numel;
    });
    for (let i = 0; i < counts.length - 1; i++) {
      const own = i === 0 ? (counts[0] as number) : 0;
      entries.push({ name: this.#groupName(i), macs: own + (counts[i + 1] as number) });
    }
    if (this.#shortcut) {
      entries.push({ name: `${name}.downsample`, macs: at * at * this.#shortcut.weight.numel });
    }
    return { entries, side: at };
  }
}

/** A residual network of any inner widths: the dense one and each of its pruned forms. */
export class ResNet extends nn.Module implements ImageModel {
  readonly config: ResNetConfig;
  readonly #conv1: nn.Conv2d;
  readonly #bn1: nn.BatchNorm2d;
  readonly #blocks: readonly Block[];
  readonly #fc: nn.Linear;
  readonly #stem: FusedConvolutions;

  constructor(config: ResNetConfig) {
    super();
    this.config = checkResNetConfig(config);
    const { stem, channels, baseWidth, numClasses } = config;
    this.#conv1 = this.child(
      'conv1',
      stem === 'cifar' ? conv(channels, baseWidth, 3) : conv(channels, baseWidth, 7, 2),
    );
    this.#bn1 = this.child('bn1', new nn.BatchNorm2d(baseWidth));
    this.#stem = new FusedConvolutions([{ conv: this.#conv1, bn: this.#bn1 }], 'none');
    const stages = makeStages(config).map((blocks, stage) =>
      this.child(`layer${stage + 1}`, new nn.ModuleList(blocks)),
    );
    this.#blocks = stages.flatMap(({ items }) => items);
    this.#fc = this.child('fc', new nn.Linear(lastWidth(config), numClasses));
    // torchvision's; like there after everything is made, so that a seed gives the same weights.
    for (const module of this.namedModules().values()) {
      if (!(module instanceof nn.Conv2d)) continue;
      nn.init.kaimingNormal(module.weight, { mode: 'fan_out', nonlinearity: 'relu' });
    }
  }

  override forward(images: Tensor, probe?: UnitProbe): Tensor {
    checkImages('ResNet', images, this.config);
    const canFuse = !probe && !isGradEnabled() && this.isEvaluating;
    if (canFuse && [images, this.#conv1.weight].every(isFloat32OnCpu)) {
      return scope(() => this.#fused(images));
    }
    let x = scope(() => {
      const y = this.#bn1.forward(this.#conv1.forward(images)).relu();
      return this.config.stem === 'imagenet' ? ops.maxPool2d(y, 3, 2, 1) : y;
    });
    for (const block of this.#blocks) x = block.forward(x, probe);
    return this.#fc.forward(F.meanFloat32(x, [2, 3]));
  }

  /** Without gradients: a block is one operator, and channels come last between them. */
  #fused(images: Tensor): Tensor {
    let x = this.#stem.forward(images.permute(0, 2, 3, 1));
    if (this.config.stem === 'imagenet') {
      x = ops.maxPool2d(x.permute(0, 3, 1, 2), 3, 2, 1).permute(0, 2, 3, 1);
    }
    for (const block of this.#blocks) x = block.fused(x);
    return this.#fc.forward(x.mean([1, 2]));
  }

  override train(on = true): this {
    if (on) this.#stem.release();
    return super.train(on);
  }

  override dispose(): void {
    this.#stem.release();
    for (const block of this.#blocks) block.dispose();
    super.dispose();
  }

  pruningGroups(): PruningGroup[] {
    return this.#blocks.flatMap((block) => block.groups());
  }

  /** Convolutions and the classifier; BatchNorm, pooling and additions are not counted. */
  macs(): MacsEntry[] {
    const { imageSize, stem } = this.config;
    const kernel = this.#conv1.kernelSize[0] as number;
    let side = sideAfter(imageSize, kernel, this.#conv1.stride as number);
    const entries: MacsEntry[] = [{ name: 'conv1', macs: side * side * this.#conv1.weight.numel }];
    if (stem === 'imagenet') side = sideAfter(side, 3, 2);
    for (const block of this.#blocks) {
      const counted = block.macs(side);
      entries.push(...counted.entries);
      side = counted.side;
    }
    entries.push({ name: 'fc', macs: this.#fc.weight.numel });
    return entries;
  }

  withWidths(widths: Readonly<Record<string, number>>): ResNet {
    return new ResNet({ ...this.config, widths: { ...this.config.widths, ...widths } });
  }
}

const isFloat32OnCpu = ({ device, dtype }: Tensor): boolean =>
  device === 'cpu' && dtype === 'float32';

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
