import { z } from 'zod';
import { checkLimits, modelLimits } from '../../limits.js';
import {
  blockCount,
  checkDepth,
  checkPatches,
  checkWidths,
  lastDropPath,
  multipleOf,
  parseConfig,
  size,
} from '../config-checks.js';
import { type ScanMode, scanModes } from './scan-order.js';

/** What a vision Mamba is built from; stored in every model file. */
const mambaConfigSchema = z.strictObject({
  family: z.literal('mamba'),
  /** Name of the architecture that the defaults came from. */
  arch: z.string(),
  /** Width of the residual stream. */
  dModel: size,
  /** Number of blocks. */
  depth: blockCount,
  /** States per SSM channel (N), in blocks whose `blocks.0.state` is not among the widths. */
  dState: size,
  /** Taps of the causal convolution. */
  dConv: size,
  /** Rank of the projection that makes the step sizes, where `blocks.0.dt_rank` is not among the widths. */
  dtRank: size,
  patchSize: size,
  imageSize: size,
  channels: size,
  numClasses: size,
  /** In which directions the patches are scanned; see scan-order.ts. */
  scan: z.enum(scanModes),
  /** Chance that a sample skips a block's branch in training, rising linearly to this at the last block. */
  dropPath: lastDropPath,
  /** Width of every prunable group: `blocks.0.ssm` is d_inner of block 0, `blocks.0.mlp` its neurons. */
  widths: z.record(z.string(), size),
});

export type MambaConfig = z.infer<typeof mambaConfigSchema>;

/** What a caller may choose when making a vision Mamba; the architecture's name gives the rest. */
export interface MambaOptions {
  readonly numClasses?: number | undefined;
  /** Side of the images in pixels. */
  readonly imageSize?: number | undefined;
  readonly channels?: number | undefined;
  readonly patchSize?: number | undefined;
  readonly scan?: ScanMode | undefined;
  readonly dropPath?: number | undefined;
  readonly dModel?: number | undefined;
  readonly depth?: number | undefined;
  readonly dState?: number | undefined;
  readonly dConv?: number | undefined;
  /** d_inner = expand * d_model before pruning. */
  readonly expand?: number | undefined;
  /** Hidden neurons of the MLP = mlpRatio * d_model before pruning. */
  readonly mlpRatio?: number | undefined;
}

export interface MambaDefaults {
  readonly dModel: number;
  readonly depth: number;
  readonly dState: number;
  /** Default `4`. */
  readonly patchSize?: number;
}

/** The architectures by name. */
export const mambaArchitectures = {
  // The model of the quickstart. Few wide blocks: at batch 1 the work in them outweighs the cost of calling operators.
  mamba_quick: { dModel: 128, depth: 2, dState: 8, patchSize: 7 },
  mamba_nano: { dModel: 64, depth: 4, dState: 8 },
  mamba_tiny: { dModel: 96, depth: 12, dState: 8 },
  mamba_small: { dModel: 192, depth: 24, dState: 16 },
  mamba_base: { dModel: 384, depth: 24, dState: 16 },
} as const satisfies Record<string, MambaDefaults>;

export type MambaArchitecture = keyof typeof mambaArchitectures;

export const ssmGroup = (block: number): string => `blocks.${block}.ssm`;
export const stateGroup = (block: number): string => `blocks.${block}.state`;
export const dtRankGroup = (block: number): string => `blocks.${block}.dt_rank`;
export const mlpGroup = (block: number): string => `blocks.${block}.mlp`;

/**
 * The configuration of a dense model: patch 4 at 32 px (`mamba_quick`: patch 7 at 28 px), 3 channels, 10 classes, d_conv 4, expand 2,
 * mlp_ratio 4, dt_rank ceil(d_model / 16) unless told otherwise.
 * @throws UsageError if the image does not divide into patches, or a size is no positive integer;
 *   TooLargeError if one is beyond `modelLimits`
 */
export function mambaConfig(arch: MambaArchitecture, options: MambaOptions = {}): MambaConfig {
  checkLimits(arch, { ...options }, modelLimits);
  const defaults: MambaDefaults = mambaArchitectures[arch];
  const dModel = options.dModel ?? defaults.dModel;
  const depth = options.depth ?? defaults.depth;
  const widths: Record<string, number> = {};
  checkDepth('mamba', depth);
  const dInner = multipleOf('mamba', 'expand', options.expand ?? 2, dModel);
  const hidden = multipleOf('mamba', 'mlpRatio', options.mlpRatio ?? 4, dModel);
  for (let block = 0; block < depth; block++) {
    widths[ssmGroup(block)] = dInner;
    widths[mlpGroup(block)] = hidden;
  }
  return checkMambaConfig({
    family: 'mamba',
    arch,
    dModel,
    depth,
    dState: options.dState ?? defaults.dState,
    dConv: options.dConv ?? 4,
    dtRank: Math.ceil(dModel / 16),
    patchSize: options.patchSize ?? defaults.patchSize ?? 4,
    imageSize:
      options.imageSize ?? (defaults.patchSize === undefined ? 32 : 4 * defaults.patchSize),
    channels: options.channels ?? 3,
    numClasses: options.numClasses ?? 10,
    scan: options.scan ?? 'uni',
    dropPath: options.dropPath ?? 0,
    widths,
  });
}

/** Checks a configuration read from a file or made by hand. */
export function checkMambaConfig(value: unknown): MambaConfig {
  const config = parseConfig('mamba', mambaConfigSchema, value);
  checkPatches('mamba', config.imageSize, config.patchSize);
  const blocks = Array.from({ length: config.depth }, (_, block) => block);
  checkWidths(
    'mamba',
    config.widths,
    blocks.flatMap((block) => [ssmGroup(block), mlpGroup(block)]),
    blocks.flatMap((block) => [stateGroup(block), dtRankGroup(block)]),
  );
  return config;
}
