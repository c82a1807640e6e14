import { z } from 'zod';
import { UsageError } from '../../errors.js';
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
import { listed } from '../../printable.js';

/**
 * What the classifier reads: the class token, the mean over the patches' tokens, or both side by side, as
 * Hugging Face's classifier on DINOv2 does.
 */
export const vitPoolings = ['token', 'mean', 'token-and-mean'] as const;

export type VitPooling = (typeof vitPoolings)[number];

/** LayerNorm's eps unless a configuration has another; PyTorch's own default is 1e-5. */
export const defaultEps = 1e-6;

/** What a configuration names only where it has another, under the names of import options. */
export const usualVit = { pooling: 'token', eps: defaultEps, activation: 'gelu' } as const;

/** What a vision transformer is built from; stored in every model file. */
const vitConfigSchema = z.strictObject({
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
  dropPath: lastDropPath,
  /** Width of every prunable group: `blocks.0.attn` counts heads, `blocks.0.mlp` neurons. */
  widths: z.record(z.string(), size),
  // What follows is there only where it differs from what is said of it, so that files written before it was
  // known mean what they did.
  /** Width of a head in blocks where it is not `headDim`, by group: `blocks.0.attn`. */
  headDims: z.record(z.string(), size).optional(),
  /** Added to the variance in every LayerNorm; 1e-6, as in timm and torchvision. */
  eps: z.number().positive().max(1).optional(),
  /** Whether a learned token stands before the patches; true. */
  classToken: z.boolean().optional(),
  /**
   * Whether a second such token has a classifier of its own, as in DeiT (Touvron et al. 2021, arXiv 2012.12877):
   * the logits are the mean of both. False.
   */
  distilled: z.boolean().optional(),
  /** Learned tokens without an output, after those (Darcet et al. 2023, arXiv 2309.16588); none. */
  registers: size.optional(),
  /** What the classifier reads; the class token. */
  pooling: z.enum(vitPoolings).optional(),
  /** Whether the last LayerNorm comes after the mean over the patches, as timm's `fc_norm`; false. */
  poolsBeforeNorm: z.boolean().optional(),
});

export type VitConfig = z.infer<typeof vitConfigSchema>;

/** Tokens before those of the patches. */
export function prefixTokens({
  classToken = true,
  distilled = false,
  registers = 0,
}: VitConfig): number {
  return Number(classToken) + Number(distilled) + registers;
}

/** Width of one head of a block. */
export function headDimIn({ headDim, headDims }: VitConfig, block: number): number {
  return headDims?.[attentionGroup(block)] ?? headDim;
}

/** Features that the classifier reads. */
export function pooledWidth({ dModel, pooling }: VitConfig): number {
  return pooling === 'token-and-mean' ? 2 * dModel : dModel;
}

/** What a caller may choose when making a vision transformer; the architecture's name gives the rest. */
export interface VitOptions {
  readonly numClasses?: number | undefined;
  /** Side of the images in pixels. */
  readonly imageSize?: number | undefined;
  readonly channels?: number | undefined;
  readonly patchSize?: number | undefined;
  readonly dropPath?: number | undefined;
  readonly dModel?: number | undefined;
  readonly depth?: number | undefined;
  /** Attention heads before pruning. */
  readonly heads?: number | undefined;
  /** Hidden neurons of the MLP = mlpRatio * d_model before pruning. */
  readonly mlpRatio?: number | undefined;
}

export interface VitSizes {
  readonly dModel: number;
  readonly depth: number;
  readonly heads: number;
}

/**
 * The architectures by name (Touvron et al. 2021, arXiv 2012.12877, table 1; base and large: Dosovitskiy et al.
 * 2021, arXiv 2010.11929, table 1).
 */
export const vitArchitectures = {
  vit_tiny: { dModel: 192, depth: 12, heads: 3 },
  vit_small: { dModel: 384, depth: 12, heads: 6 },
  vit_base: { dModel: 768, depth: 12, heads: 12 },
  vit_large: { dModel: 1024, depth: 24, heads: 16 },
} as const satisfies Record<string, VitSizes>;

export type VitArchitecture = keyof typeof vitArchitectures;

export const mlpGroup = (block: number): string => `blocks.${block}.mlp`;
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
function headDimOf(dModel: number, heads: number): number {
  const headDim = dModel / heads;
  if (Number.isInteger(heads) && Number.isInteger(headDim) && headDim > 0) return headDim;
  throw new UsageError(
    `vit configuration: got ${heads} heads for a width of ${dModel}, expected a divisor of the width. ` +
      'Choose `heads` and `dModel` together.',
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
  checkHeadDims(config, blocks.map(attentionGroup));
  checkPooling(config);
  return config;
}

function checkHeadDims({ headDims = {} }: VitConfig, groups: readonly string[]): void {
  const unknown = Object.keys(headDims).filter((name) => !groups.includes(name));
  if (unknown.length === 0) return;
  throw new UsageError(
    `vit configuration: got headDims of ${listed(unknown)}, expected some of ${listed(groups)}`,
  );
}

/** @throws UsageError if the classifier would read a token that there is not */
function checkPooling({ classToken, distilled, pooling, poolsBeforeNorm }: VitConfig): void {
  const problem =
    classToken === false && pooling !== 'mean'
      ? 'no class token, expected pooling: mean, which needs none'
      : distilled === true && (classToken === false || (pooling ?? 'token') !== 'token')
        ? `distilled with pooling: ${pooling}, expected token: each of its two classifiers reads its own token`
        : poolsBeforeNorm === true && pooling !== 'mean'
          ? `poolsBeforeNorm with pooling: ${pooling ?? 'token'}, expected mean, which alone has an order`
          : undefined;
  if (problem !== undefined) throw new UsageError(`vit configuration: got ${problem}`);
}
