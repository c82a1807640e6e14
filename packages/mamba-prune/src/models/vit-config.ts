import { z } from 'zod';
import { UsageError } from '../errors.js';
import { checkLimits, modelLimits } from '../limits.js';
import { type ModelOptions, mlpGroup } from './config.js';
import {
  blockCount,
  checkDepth,
  checkPatches,
  checkWidths,
  multipleOf,
  parseConfig,
  size,
} from './config-checks.js';

/** What a vision transformer is built from; stored in every model file. */
export const vitConfigSchema = z.strictObject({
  family: z.literal('vit'),
  /** Name of the architecture that the defaults came from. */
  arch: z.string(),
  /** Width of the residual stream. */
  dModel: size,
  /** Number of blocks. */
  depth: blockCount,
  /** Width of one attention head. It stays when heads are pruned, so it is stored and not computed. */
  headDim: size,
  patchSize: size,
  imageSize: size,
  channels: size,
  numClasses: size,
  /** Chance that a sample skips a block's branch in training, rising linearly to this at the last block. */
  dropPath: z.number().min(0).max(0.99),
  /** Width of every prunable group: `blocks.0.attn` counts heads, `blocks.0.mlp` neurons. */
  widths: z.record(z.string(), size),
});

export type VitConfig = z.infer<typeof vitConfigSchema>;

/** The options of `ModelOptions` that the family has. */
export const vitOptionNames = [
  'numClasses',
  'imageSize',
  'channels',
  'patchSize',
  'dropPath',
  'dModel',
  'depth',
  'heads',
  'mlpRatio',
] as const satisfies readonly (keyof ModelOptions)[];

export type VitOptions = Pick<ModelOptions, (typeof vitOptionNames)[number]>;

export interface VitSizes {
  readonly dModel: number;
  readonly depth: number;
  readonly heads: number;
}

/** The architectures by name (Touvron et al. 2021, arXiv 2012.12877, table 1). */
export const vitArchitectures = {
  vit_tiny: { dModel: 192, depth: 12, heads: 3 },
  vit_small: { dModel: 384, depth: 12, heads: 6 },
} as const satisfies Record<string, VitSizes>;

export type VitArchitecture = keyof typeof vitArchitectures;

export const attentionGroup = (block: number): string => `blocks.${block}.attn`;

/**
 * The configuration of a dense model: patch 4 at 32 px, 3 channels, 10 classes, mlp_ratio 4 unless
 * told otherwise.
 * @throws UsageError if the image does not divide into patches or the width into heads, or a size is
 *   no positive integer; TooLargeError if one is beyond `modelLimits`
 */
export function vitConfig(arch: VitArchitecture, options: VitOptions = {}): VitConfig {
  checkLimits(arch, { ...options }, modelLimits);
  const defaults: VitSizes = vitArchitectures[arch];
  const dModel = options.dModel ?? defaults.dModel;
  const depth = options.depth ?? defaults.depth;
  const heads = options.heads ?? defaults.heads;
  const widths: Record<string, number> = {};
  checkDepth('vit', depth);
  const hidden = multipleOf('vit', 'mlpRatio', options.mlpRatio ?? 4, dModel);
  for (let block = 0; block < depth; block++) {
    widths[attentionGroup(block)] = heads;
    widths[mlpGroup(block)] = hidden;
  }
  return checkVitConfig({
    family: 'vit',
    arch,
    dModel,
    depth,
    headDim: headDimOf(dModel, heads),
    patchSize: options.patchSize ?? 4,
    imageSize: options.imageSize ?? 32,
    channels: options.channels ?? 3,
    numClasses: options.numClasses ?? 10,
    dropPath: options.dropPath ?? 0,
    widths,
  });
}

/** Width of one head before pruning. @throws UsageError unless the heads divide the width */
export function headDimOf(dModel: number, heads: number): number {
  const headDim = dModel / heads;
  if (Number.isInteger(heads) && Number.isInteger(headDim) && headDim > 0) return headDim;
  throw new UsageError(
    `vit configuration: got ${heads} heads for a width of ${dModel}, expected a divisor of the width. ` +
      'Choose --heads and --d-model together.',
  );
}

/** Checks a configuration read from a file or made by hand. */
export function checkVitConfig(value: unknown): VitConfig {
  const config = parseConfig('vit', vitConfigSchema, value);
  checkPatches('vit', config.imageSize, config.patchSize);
  const blocks = Array.from({ length: config.depth }, (_, block) => block);
  checkWidths(
    'vit',
    config.widths,
    blocks.flatMap((block) => [attentionGroup(block), mlpGroup(block)]),
  );
  return config;
}
