// How a model's images are prepared; kept in the model's file, so that every program gives it the same pixels.
// No dependencies: a web page has it too.

/** Both as Pillow computes them, with antialiasing; bicubic has a = -0.5. */
export const interpolations = ['bilinear', 'bicubic'] as const;
export type Interpolation = (typeof interpolations)[number];

/** Below it next to nothing of a picture would be left. */
export const leastCropShare = 0.01;

/** Interpolation and crop; mean and std stand beside it in the model's file. */
export interface Preprocessing {
  readonly interpolation: Interpolation;
  /**
   * Share of the shorter side that is left by the crop, 0.01 to 1: the shorter side is resized to
   * floor(size / cropShare), and the centre of size x size is cut out. timm calls it crop_pct; torchvision's
   * Resize(256) before CenterCrop(224) is 0.875.
   */
  readonly cropShare: number;
}

/** The usual share of models that were trained on photographs: 224 of 256 pixels. */
export const usualCropShare = 0.875;

/**
 * By the name of a data set, its share where that is not the usual one. Those that stand here had models before files
 * recorded it, and a web page, which knows no data sets, must read such files too; their pictures had the size of the model,
 * so that nothing was cut off. All others are set by what describes the data set.
 */
const cropShares = new Map<string, number>(
  ['fashion-mnist', 'mnist', 'cifar10', 'cifar100', 'tiny-imagenet'].map((name) => [name, 1]),
);

/** Sets the share of a data set, by its name. */
export function setUsualCropShare(dataset: string, share: number): void {
  cropShares.set(dataset, share);
}

/** What a new training records. @param dataset - its name, if it is known */
export function defaultPreprocessing(dataset: string | undefined): Preprocessing {
  const share = dataset === undefined ? undefined : cropShares.get(dataset);
  return { interpolation: 'bilinear', cropShare: share ?? usualCropShare };
}

/**
 * What the file of a model says of its preparation.
 *
 * Files written before there was a record are taken as `eval` took them, for by that their accuracy was
 * measured, and their training saw the same frame: fixed pictures whole, images of folders (and of a
 * data set that is not named, whose images can only come from a folder) with a shorter side of
 * round(size / 0.875). The record rounds down; where that is one pixel less, as for 32 (36 and not 37), the share
 * is that of the old length, with half a pixel more so that no division can round below it.
 * `predict` and its kind, which took the whole shorter side for every model, are not followed.
 *
 * @param size - side of the model's images, in pixels
 */
export function preprocessingOf(
  info: {
    readonly dataset?: string | undefined;
    readonly preprocessing?: Preprocessing | undefined;
  },
  size: number,
): Preprocessing {
  if (info.preprocessing) return info.preprocessing;
  const usual = defaultPreprocessing(info.dataset);
  const before = Math.round(size / usual.cropShare);
  if (before === Math.floor(size / usual.cropShare)) return usual;
  return { ...usual, cropShare: size / (before + 0.5) };
}

/** What is wrong with values that were given; undefined if nothing is. */
export function preprocessingProblem({
  interpolation,
  cropShare,
}: {
  readonly interpolation?: unknown;
  readonly cropShare?: unknown;
}): string | undefined {
  if (
    interpolation !== undefined &&
    !(interpolations as readonly unknown[]).includes(interpolation)
  ) {
    return `\`interpolation\`: got ${shown(interpolation)}, expected ${interpolations.join(' or ')}.`;
  }
  if (
    cropShare === undefined ||
    (typeof cropShare === 'number' && cropShare >= leastCropShare && cropShare <= 1)
  ) {
    return undefined;
  }
  return `\`cropShare\`: got ${shown(cropShare)}, expected a number from ${leastCropShare} to 1.`;
}

const shown = (value: unknown): string =>
  typeof value === 'string' ? JSON.stringify(value) : String(value);
