import { z } from 'zod';
import { checkLimits, modelLimits } from '../../limits.js';
import { UsageError } from '../../errors.js';
import {
  checkStages,
  checkWidths,
  convolvedSize,
  lastDropPath,
  multipleOf,
  parseConfig,
  size,
  stageBlocks,
} from '../config-checks.js';

/** How many pixels per side the stem makes one position of: 4 in the published models. */
export const vmambaStrides = [1, 2, 4] as const;

/** What a VMamba is built from; stored in every model file. */
const vmambaConfigSchema = z.strictObject({
  family: z.literal('vmamba'),
  /** Name of the architecture that the defaults came from. */
  arch: z.string(),
  /** Channels of the first stage; each later stage has twice as many. */
  baseWidth: size,
  /** Blocks of each stage; every stage but the first halves the grid. */
  blocks: stageBlocks,
  /** States per channel of the scans (N). */
  dState: size,
  /** Stride of the stem. No tensor tells it. */
  stemStride: z.literal(vmambaStrides, {
    error: ({ input }) => `got ${String(input)}, expected 1, 2 or 4`,
  }),
  imageSize: convolvedSize,
  channels: size,
  numClasses: size,
  /** Chance that a sample skips a block's branch in training, rising linearly to this at the last block. */
  dropPath: lastDropPath,
  /** Rank of the step sizes in each stage; ceil(width / 16) where it is left out. */
  dtRanks: z.array(size).optional(),
  /** Width of every prunable group: `layers.0.blocks.0.ssm` is d_inner, `layers.0.blocks.0.mlp` the neurons. */
  widths: z.record(z.string(), size),
});

export type VMambaConfig = z.infer<typeof vmambaConfigSchema>;

/** What a caller may choose when making a VMamba; the architecture's name gives the rest. */
export interface VMambaOptions {
  readonly numClasses?: number | undefined;
  /** Side of the images in pixels. */
  readonly imageSize?: number | undefined;
  readonly channels?: number | undefined;
  /** Stride of the stem: 1, 2 or 4. */
  readonly stemStride?: number | undefined;
  readonly dropPath?: number | undefined;
  /** Channels of the first stage; each later stage has twice as many. */
  readonly baseWidth?: number | undefined;
  /** Blocks of each stage. */
  readonly blocks?: readonly number[] | undefined;
  readonly dState?: number | undefined;
  /** d_inner over the stage's width before pruning: the `ssm_ratio` of the published code. */
  readonly expand?: number | undefined;
  /** Hidden neurons of the MLP over the stage's width before pruning. */
  readonly mlpRatio?: number | undefined;
}

export interface VMambaSizes {
  readonly baseWidth: number;
  readonly blocks: readonly number[];
  readonly expand: number;
  readonly dState: number;
  readonly stemStride: number;
}

/**
 * The architectures by name. tiny is the published "s1l8", small and base are "s2l15" (Liu et al. 2024, arXiv
 * 2401.10166). nano is for images of 32 px: after a stem of stride 4 and three halvings one position would be left of
 * them, and nothing to scan. A stem of stride 2 and three stages leave grids of 16, 8 and 4 positions a side, about
 * those of the last three stages at 224 px (28, 14 and 7).
 */
export const vmambaArchitectures = {
  vmamba_tiny: { baseWidth: 96, blocks: [2, 2, 8, 2], expand: 1, dState: 1, stemStride: 4 },
  vmamba_small: { baseWidth: 96, blocks: [2, 2, 15, 2], expand: 2, dState: 1, stemStride: 4 },
  vmamba_base: { baseWidth: 128, blocks: [2, 2, 15, 2], expand: 2, dState: 1, stemStride: 4 },
  vmamba_nano: { baseWidth: 32, blocks: [2, 2, 2], expand: 1, dState: 1, stemStride: 2 },
} as const satisfies Record<string, VMambaSizes>;

export type VMambaArchitecture = keyof typeof vmambaArchitectures;

/** What a block is called in the state dict. */
export const blockName = (stage: number, index: number): string =>
  `layers.${stage}.blocks.${index}`;
export const ssmGroup = (block: string): string => `${block}.ssm`;
export const mlpGroup = (block: string): string => `${block}.mlp`;

/** Channels of the residual stream in a stage. */
export const stageWidth = (baseWidth: number, stage: number): number => baseWidth * 2 ** stage;

/** Rank of the step sizes in a stage. */
export function dtRankOf(
  { baseWidth, dtRanks }: Pick<VMambaConfig, 'baseWidth' | 'dtRanks'>,
  stage: number,
): number {
  return dtRanks?.[stage] ?? Math.ceil(stageWidth(baseWidth, stage) / 16);
}

/** Every block by its name, with its stage. */
export function blockNames(blocks: readonly number[]): { name: string; stage: number }[] {
  return blocks.flatMap((count, stage) =>
    Array.from({ length: count }, (_, index) => ({ name: blockName(stage, index), stage })),
  );
}

/** Side of the grid in each stage, from the first: a 3x3 convolution of stride 2 with padding 1 halves and rounds up. */
export function gridSides({
  imageSize,
  stemStride,
  blocks,
}: Pick<VMambaConfig, 'imageSize' | 'stemStride' | 'blocks'>): number[] {
  let side = imageSize;
  for (const stride of stemStrides(stemStride)) side = Math.ceil(side / stride);
  return blocks.map((_, stage) => {
    if (stage > 0) side = Math.ceil(side / 2);
    return side;
  });
}

/** Strides of the two convolutions of the stem; the first is the cheaper place to halve. */
export function stemStrides(stemStride: number): readonly [number, number] {
  return [stemStride > 1 ? 2 : 1, stemStride > 2 ? 2 : 1];
}

/**
 * The configuration of a dense model: 224 px (32 px where the stem's stride is not 4), 3 channels, 10 classes, mlp_ratio 4 unless told
 * otherwise.
 * @throws UsageError if a size is no positive integer; TooLargeError if one is beyond `modelLimits`
 */
export function vmambaConfig(arch: VMambaArchitecture, options: VMambaOptions = {}): VMambaConfig {
  checkLimits(arch, { ...options }, modelLimits);
  const defaults: VMambaSizes = vmambaArchitectures[arch];
  const baseWidth = options.baseWidth ?? defaults.baseWidth;
  const blocks = checkStages('vmamba', options.blocks ?? defaults.blocks, [2, 2, 8, 2]);
  const widths: Record<string, number> = {};
  const widthOf = (name: string, factor: number, stage: number): number =>
    multipleOf('vmamba', name, factor, stageWidth(baseWidth, stage));
  for (const { name, stage } of blockNames(blocks)) {
    widths[ssmGroup(name)] = widthOf('expand', options.expand ?? defaults.expand, stage);
    widths[mlpGroup(name)] = widthOf('mlpRatio', options.mlpRatio ?? 4, stage);
  }
  return checkVMambaConfig({
    family: 'vmamba',
    arch,
    baseWidth,
    blocks,
    dState: options.dState ?? defaults.dState,
    stemStride: options.stemStride ?? defaults.stemStride,
    imageSize: options.imageSize ?? (defaults.stemStride === 4 ? 224 : 32),
    channels: options.channels ?? 3,
    numClasses: options.numClasses ?? 10,
    dropPath: options.dropPath ?? 0,
    widths,
  });
}

/** Checks a configuration read from a file or made by hand. */
export function checkVMambaConfig(value: unknown): VMambaConfig {
  const config = parseConfig('vmamba', vmambaConfigSchema, value);
  const { blocks, baseWidth, dtRanks } = config;
  const names = blockNames(blocks).map(({ name }) => name);
  checkWidths(
    'vmamba',
    config.widths,
    names.flatMap((name) => [ssmGroup(name), mlpGroup(name)]),
  );
  if (dtRanks !== undefined && dtRanks.length !== blocks.length) {
    throw new UsageError(
      `vmamba configuration: got dtRanks of ${dtRanks.length} stages, expected ${blocks.length}, one for each of blocks`,
    );
  }
  if (baseWidth % 2 !== 0) {
    throw new UsageError(
      `vmamba configuration: got \`baseWidth\` ${baseWidth}, expected an even number: the first convolution has half as many channels.`,
    );
  }
  return config;
}
