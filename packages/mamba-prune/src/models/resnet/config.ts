import { z } from 'zod';
import { checkLimits, modelLimits } from '../../limits.js';
import {
  checkStages,
  checkWidths,
  convolvedSize,
  lastDropPath,
  parseConfig,
  size,
  stageBlocks,
} from '../config-checks.js';

const resnetBlocks = ['basic', 'bottleneck'] as const;
export const resnetStems = ['cifar', 'imagenet'] as const;

export type ResNetStem = (typeof resnetStems)[number];

/** What a residual network is built from; stored in every model file. */
const resnetConfigSchema = z.strictObject({
  family: z.literal('resnet'),
  /** Name of the architecture that the defaults came from. */
  arch: z.string(),
  /** `basic`: two 3x3 convolutions; `bottleneck`: 1x1, 3x3, 1x1 with four times the width at the end. */
  block: z.enum(resnetBlocks),
  /** Blocks of each stage; every stage but the first halves the image and doubles the width. */
  blocks: stageBlocks,
  /** Channels of the stem and of the first stage's blocks. */
  baseWidth: size,
  /** `cifar`: 3x3 at stride 1; `imagenet`: 7x7 at stride 2 and a max pooling at stride 2. */
  stem: z.enum(resnetStems),
  imageSize: convolvedSize,
  channels: size,
  numClasses: size,
  /** Chance that a sample skips a block in training, rising linearly to this at the last block. */
  dropPath: lastDropPath,
  /** Width of every prunable group: `layer1.0.conv1` counts the channels that come out of it. */
  widths: z.record(z.string(), size),
});

export type ResNetConfig = z.infer<typeof resnetConfigSchema>;

/** What a caller may choose when making a residual network; the architecture's name gives the rest. */
export interface ResNetOptions {
  readonly numClasses?: number | undefined;
  /** Side of the images in pixels. */
  readonly imageSize?: number | undefined;
  readonly channels?: number | undefined;
  readonly dropPath?: number | undefined;
  /** How it begins: see `ResNetConfig`. */
  readonly stem?: ResNetStem | undefined;
  /** Channels of the first stage; each later stage has twice as many. */
  readonly baseWidth?: number | undefined;
  /** Blocks of each stage. */
  readonly blocks?: readonly number[] | undefined;
}

export interface ResNetSizes {
  readonly block: (typeof resnetBlocks)[number];
  readonly blocks: readonly number[];
  readonly baseWidth: number;
}

/**
 * The architectures by name (He et al. 2016, arXiv 1512.03385, table 1 and section 4.2), all with
 * projection shortcuts (the paper's option B), as torchvision builds them.
 */
export const resnetArchitectures = {
  resnet20: { block: 'basic', blocks: [3, 3, 3], baseWidth: 16 },
  resnet32: { block: 'basic', blocks: [5, 5, 5], baseWidth: 16 },
  resnet44: { block: 'basic', blocks: [7, 7, 7], baseWidth: 16 },
  resnet56: { block: 'basic', blocks: [9, 9, 9], baseWidth: 16 },
  resnet110: { block: 'basic', blocks: [18, 18, 18], baseWidth: 16 },
  resnet18: { block: 'basic', blocks: [2, 2, 2, 2], baseWidth: 64 },
  resnet34: { block: 'basic', blocks: [3, 4, 6, 3], baseWidth: 64 },
  resnet50: { block: 'bottleneck', blocks: [3, 4, 6, 3], baseWidth: 64 },
  resnet101: { block: 'bottleneck', blocks: [3, 4, 23, 3], baseWidth: 64 },
  resnet152: { block: 'bottleneck', blocks: [3, 8, 36, 3], baseWidth: 64 },
} as const satisfies Record<string, ResNetSizes>;

export type ResNetArchitecture = keyof typeof resnetArchitectures;

/** Inner convolutions of a block: those whose channels no other block sees. */
export const innerConvs = { basic: ['conv1'], bottleneck: ['conv1', 'conv2'] } as const;

/** How much wider a block's output is than its inner channels. */
export const expansions = { basic: 1, bottleneck: 4 } as const;

/** What a block is called in the state dict. */
export const blockName = (stage: number, index: number): string => `layer${stage + 1}.${index}`;

/** Inner channels of the blocks of a stage before pruning. */
export const stageWidth = (baseWidth: number, stage: number): number => baseWidth * 2 ** stage;

/** The names of all groups, with their widths before pruning. */
export function denseResNetWidths({
  block,
  blocks,
  baseWidth,
}: ResNetSizes): Record<string, number> {
  const widths: Record<string, number> = {};
  blocks.forEach((count, stage) => {
    for (let index = 0; index < count; index++) {
      for (const conv of innerConvs[block]) {
        widths[`${blockName(stage, index)}.${conv}`] = stageWidth(baseWidth, stage);
      }
    }
  });
  return widths;
}

/**
 * The configuration of a dense model: 32 px, 3 channels, 10 classes unless told otherwise; the CIFAR
 * stem up to 64 px and the ImageNet stem beyond.
 * @throws UsageError if a size is no positive integer; TooLargeError if one is beyond `modelLimits`
 */
export function resnetConfig(arch: ResNetArchitecture, options: ResNetOptions = {}): ResNetConfig {
  checkLimits(arch, { ...options }, modelLimits);
  const defaults: ResNetSizes = resnetArchitectures[arch];
  const imageSize = options.imageSize ?? 32;
  const sizes: ResNetSizes = {
    block: defaults.block,
    blocks: checkStages('resnet', options.blocks ?? defaults.blocks, [3, 3, 3]),
    baseWidth: options.baseWidth ?? defaults.baseWidth,
  };
  return checkResNetConfig({
    family: 'resnet',
    arch,
    ...sizes,
    stem: options.stem ?? (imageSize <= 64 ? 'cifar' : 'imagenet'),
    imageSize,
    channels: options.channels ?? 3,
    numClasses: options.numClasses ?? 10,
    dropPath: options.dropPath ?? 0,
    widths: denseResNetWidths(sizes),
  });
}

/** Checks a configuration read from a file or made by hand. */
export function checkResNetConfig(value: unknown): ResNetConfig {
  const config = parseConfig('resnet', resnetConfigSchema, value);
  checkWidths('resnet', config.widths, Object.keys(denseResNetWidths(config)));
  return config;
}
