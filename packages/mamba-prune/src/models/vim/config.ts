import { z } from 'zod';
import { UsageError } from '../../errors.js';
import { checkLimits, modelLimits } from '../../limits.js';
import {
  blockCount,
  checkDepth,
  checkWidths,
  lastDropPath,
  multipleOf,
  parseConfig,
  size,
} from '../config-checks.js';
import { usualPatch } from '../usual-patch.js';

/** Added to the mean square in every RMSNorm. */
export const normEps = 1e-5;

/** What a Vim is built from; stored in every model file. */
const vimConfigSchema = z.strictObject({
  family: z.literal('vim'),
  /** Name of the architecture that the defaults came from. */
  arch: z.string(),
  /** Width of the residual stream. */
  dModel: size,
  /** Number of layers, each with one mixer. */
  depth: blockCount,
  /** States per SSM channel (N), in layers whose `layers.0.state` is not among the widths. */
  dState: size,
  /** Taps of the causal convolutions. */
  dConv: size,
  /** Rank of the projection that makes the step sizes, where `layers.0.dt_rank` is not among the widths. */
  dtRank: size,
  patchSize: size,
  /** Pixels from one patch to the next: patches overlap where it is less than the patch. */
  stride: size,
  imageSize: size,
  channels: size,
  numClasses: size,
  /** Chance that a sample skips a layer's mixer in training, rising linearly to this at the last layer. */
  dropPath: lastDropPath,
  /** Width of every prunable group: `layers.0.ssm` is d_inner of layer 0. */
  widths: z.record(z.string(), size),
});

export type VimConfig = z.infer<typeof vimConfigSchema>;

/** What a caller may choose when making a Vim; the architecture's name gives the rest. */
export interface VimOptions {
  readonly numClasses?: number | undefined;
  /** Side of the images in pixels. */
  readonly imageSize?: number | undefined;
  readonly channels?: number | undefined;
  readonly patchSize?: number | undefined;
  /** Pixels from one patch to the next; the patch unless told otherwise. */
  readonly stride?: number | undefined;
  readonly dropPath?: number | undefined;
  readonly dModel?: number | undefined;
  readonly depth?: number | undefined;
  readonly dState?: number | undefined;
  readonly dConv?: number | undefined;
  /** d_inner = expand * d_model before pruning. */
  readonly expand?: number | undefined;
}

export interface VimSizes {
  readonly dModel: number;
  readonly depth: number;
  readonly dState: number;
}

/**
 * The architectures by name. tiny, small and base are those of the published code (Zhu et al. 2024, arXiv 2401.09417), for
 * images of 224 px. nano is for images of 32 or 64 px and trains on a processor.
 */
export const vimArchitectures = {
  vim_tiny: { dModel: 192, depth: 24, dState: 16 },
  vim_small: { dModel: 384, depth: 24, dState: 16 },
  vim_base: { dModel: 768, depth: 24, dState: 16 },
  vim_nano: { dModel: 64, depth: 8, dState: 8 },
} as const satisfies Record<string, VimSizes>;

export type VimArchitecture = keyof typeof vimArchitectures;

export const ssmGroup = (layer: number): string => `layers.${layer}.ssm`;
export const stateGroup = (layer: number): string => `layers.${layer}.state`;
export const dtRankGroup = (layer: number): string => `layers.${layer}.dt_rank`;

type Geometry = Pick<VimConfig, 'imageSize' | 'patchSize' | 'stride'>;

/** Patches along one side of the image. */
export const gridSide = ({ imageSize, patchSize, stride }: Geometry): number =>
  (imageSize - patchSize) / stride + 1;

/** Patches of one image. */
export const patchCount = (geometry: Geometry): number => gridSide(geometry) ** 2;

/** Where the class token stands among `patches` patches: before it are as many as behind it, or one less. */
export const middleOf = (patches: number): number => Math.floor(patches / 2);

/** Rank of the step sizes before pruning. */
export const usualDtRank = (dModel: number): number => Math.ceil(dModel / 16);

/**
 * The configuration of a dense model: 224 px (`vim_nano`: 32 px), patch 16 (8 up to 128 px, 4 up to 40 px), a stride of the
 * patch, 3 channels, 10 classes, d_conv 4, expand 2, dt_rank ceil(d_model / 16) unless told otherwise.
 * @throws UsageError if the image does not divide into patches, or a size is no positive integer;
 *   TooLargeError if one is beyond `modelLimits`
 */
export function vimConfig(arch: VimArchitecture, options: VimOptions = {}): VimConfig {
  checkLimits(arch, { ...options }, modelLimits);
  const defaults: VimSizes = vimArchitectures[arch];
  const dModel = options.dModel ?? defaults.dModel;
  const depth = options.depth ?? defaults.depth;
  checkDepth('vim', depth);
  const dInner = multipleOf('vim', 'expand', options.expand ?? 2, dModel);
  const widths = Object.fromEntries(
    Array.from({ length: depth }, (_, layer) => [ssmGroup(layer), dInner]),
  );
  const imageSize = options.imageSize ?? (arch === 'vim_nano' ? 32 : 224);
  const patchSize = options.patchSize ?? usualPatch(imageSize);
  return checkVimConfig({
    family: 'vim',
    arch,
    dModel,
    depth,
    dState: options.dState ?? defaults.dState,
    dConv: options.dConv ?? 4,
    dtRank: usualDtRank(dModel),
    patchSize,
    stride: options.stride ?? patchSize,
    imageSize,
    channels: options.channels ?? 3,
    numClasses: options.numClasses ?? 10,
    dropPath: options.dropPath ?? 0,
    widths,
  });
}

/** Checks a configuration read from a file or made by hand. */
export function checkVimConfig(value: unknown): VimConfig {
  const config = parseConfig('vim', vimConfigSchema, value);
  checkGrid(config);
  const layers = Array.from({ length: config.depth }, (_, layer) => layer);
  checkWidths(
    'vim',
    config.widths,
    layers.map(ssmGroup),
    layers.flatMap((layer) => [stateGroup(layer), dtRankGroup(layer)]),
  );
  return config;
}

/** @throws UsageError unless patches end where the image does and leave nothing out */
function checkGrid({ imageSize, patchSize, stride }: Geometry): void {
  if (stride > patchSize) {
    throw new UsageError(
      `vim configuration: got stride ${stride} for patches of ${patchSize} px, expected at most the patch: pixels between patches would be lost. ` +
        'Choose `stride` and `patchSize` together.',
    );
  }
  if (imageSize >= patchSize && (imageSize - patchSize) % stride === 0) return;
  throw new UsageError(
    `vim configuration: got patches of ${patchSize} px at a stride of ${stride} for images of ${imageSize} px, expected a stride that divides ` +
      `${imageSize} - ${patchSize}. Choose \`patchSize\`, \`stride\` and \`imageSize\` together.`,
  );
}
