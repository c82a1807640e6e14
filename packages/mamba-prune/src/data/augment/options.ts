import { checksOf, shown } from '../../checks.js';
import { DataError, dataError } from '../errors.js';
import { didYouMean } from '../suggest.js';
import type { CropResize } from '../types.js';
import type { Sampling } from './geometry.js';

/** What is done to training images. Whatever is left out is not done. */
export interface AugmentOptions {
  /**
   * Crop of a random area and shape, resized; replaces padCrop. Defaults: scale 0.08..1, ratio 3/4..4/3. `resize` is for
   * images that are cropped while they are decoded: `pillow` gives Pillow's bytes, and is decoded by the threads of the
   * addon; `libvips`, the default, is what trainings of version 0.1 began with.
   */
  resizedCrop?: {
    scale?: readonly [number, number];
    ratio?: readonly [number, number];
    resize?: CropResize;
  };
  /** Padding in pixels before a crop of the image's size: 4 is usual at 32 px. */
  padCrop?: number;
  /** Mirrors half of the images. */
  flip?: boolean;
  /** Cubuk et al. 2020: `ops` random operations of strength `magnitude` (0..10) per image. */
  randAugment?: { ops?: number; magnitude?: number };
  /** Side of the hidden square in pixels (DeVries and Taylor 2017). */
  cutout?: number;
  /**
   * Share of the images of which a random rectangle is hidden (random erasing, Zhong et al. 2020): 2% to a third of the
   * area, sides in ratios from 0.3 to 1 / 0.3. It becomes the mean colour, which is 0 for the model.
   */
  erasing?: number;
  /** Alpha of Beta(alpha, alpha) for mixup (Zhang et al. 2018). */
  mixup?: number;
  /** Alpha for cutmix (Yun et al. 2019). With mixup too, each batch gets one of the two. */
  cutmix?: number;
  /** Share of batches that are mixed; default 1. */
  mixProbability?: number;
  /** For randAugment's geometry; default bilinear. */
  sampling?: Sampling;
}

export interface ResolvedAugment {
  resizedCrop:
    | {
        scale: readonly [number, number];
        ratio: readonly [number, number];
        resize?: CropResize;
      }
    | undefined;
  padCrop: number;
  flip: boolean;
  randAugment: { ops: number; magnitude: number } | undefined;
  cutout: number;
  erasing: number;
  mixup: number;
  cutmix: number;
  mixProbability: number;
  sampling: Sampling;
}

/** Checks the options and fills in the defaults. @throws DataError naming the option */
export function resolveAugment(
  options: AugmentOptions,
  size: { height: number; width: number },
): ResolvedAugment {
  const side = Math.min(size.height, size.width);
  const crop = options.resizedCrop;
  const scale = crop?.scale ?? ([0.08, 1] as const);
  const ratio = crop?.ratio ?? ([3 / 4, 4 / 3] as const);
  checkPair('resizedCrop.scale', scale, 1);
  checkPair('resizedCrop.ratio', ratio, Infinity);
  const resize = crop?.resize;
  if (resize !== undefined && !['pillow', 'libvips'].includes(resize)) {
    throw new DataError(
      `AugmentOptions: resizedCrop.resize: got ${shown(resize)}, expected pillow or libvips.`,
    );
  }
  const ops = options.randAugment?.ops ?? 2;
  const magnitude = options.randAugment?.magnitude ?? 9;
  const {
    padCrop = 0,
    cutout = 0,
    erasing = 0,
    mixup = 0,
    cutmix = 0,
    mixProbability = 1,
  } = options;
  const { number, integer } = checksOf('AugmentOptions', dataError);
  integer('padCrop', padCrop, { min: 0, max: side });
  integer('cutout', cutout, { min: 0, max: 2 * side });
  integer('randAugment.ops', ops, { min: 0, max: 16 });
  number('randAugment.magnitude', magnitude, { min: 0, max: 10 });
  number('erasing', erasing, { min: 0, max: 1 });
  number('mixup', mixup, { min: 0, max: 100 });
  number('cutmix', cutmix, { min: 0, max: 100 });
  number('mixProbability', mixProbability, { min: 0, max: 1 });
  if (crop && padCrop > 0) {
    throw new DataError(
      'AugmentOptions: got both resizedCrop and padCrop, expected one of them. Leave one out.',
    );
  }
  return {
    resizedCrop: crop ? { scale, ratio, ...(resize !== undefined && { resize }) } : undefined,
    padCrop,
    flip: options.flip ?? false,
    randAugment: options.randAugment && ops > 0 ? { ops, magnitude } : undefined,
    cutout,
    erasing,
    mixup,
    cutmix,
    mixProbability,
    sampling: options.sampling ?? 'bilinear',
  };
}

function checkPair(name: string, [low, high]: readonly [number, number], most: number): void {
  if (low > 0 && low <= high && high <= most && Number.isFinite(high)) return;
  throw new DataError(
    `AugmentOptions: ${name}: got [${low}, ${high}], expected two numbers above 0` +
      `${most === 1 ? ' and at most 1' : ''}, the smaller first.`,
  );
}

const presets = {
  /** Pixels as they are. */
  none: () => ({}),
  /** Pad by an eighth and crop, flip: the usual recipe for CIFAR. */
  standard: (side: number) => ({ padCrop: Math.round(side / 8), flip: true }),
  /** Standard plus RandAugment(2, 9), cutout of half the side, mixup or cutmix: for long runs. */
  strong: (side: number) => ({
    padCrop: Math.round(side / 8),
    flip: true,
    randAugment: { ops: 2, magnitude: 9 },
    cutout: Math.round(side / 2),
    mixup: 0.8,
    cutmix: 1,
  }),
  /** Random resized crop and flip: the usual recipe for ImageNet. */
  imagenet: () => ({ resizedCrop: { resize: 'pillow' }, flip: true }),
  /**
   * That, RandAugment(2, 9), random erasing of a quarter of the images, mixup or cutmix: as DeiT (Touvron et al. 2021), Vim
   * and VMamba were trained for 300 epochs. timm's RandAugment varies its strength and DeiT's erasing fills with noise,
   * which is left out here.
   */
  'imagenet-strong': () => ({
    resizedCrop: { resize: 'pillow' },
    flip: true,
    randAugment: { ops: 2, magnitude: 9 },
    erasing: 0.25,
    mixup: 0.8,
    cutmix: 1,
  }),
} satisfies Record<string, (side: number) => AugmentOptions>;

export type AugmentPreset = keyof typeof presets;

export function augmentPresetNames(): AugmentPreset[] {
  return Object.keys(presets) as AugmentPreset[];
}

/**
 * Options of a named recipe for images of the given size.
 * @throws DataError if the name is unknown
 */
export function augmentPreset(
  name: string,
  size: { height: number; width: number },
): AugmentOptions {
  const names = augmentPresetNames();
  const known = names.find((candidate) => candidate === name);
  if (!known) {
    const isName = typeof (name as unknown) === 'string';
    const [meant] = isName ? didYouMean(name, names) : [];
    throw new DataError(
      `augmentPreset: got ${isName ? `"${name}"` : shown(name)}, expected one of: ${names.join(', ')}.` +
        (meant ? ` Did you mean "${meant}"?` : ''),
    );
  }
  return presets[known](Math.min(size.height, size.width));
}
