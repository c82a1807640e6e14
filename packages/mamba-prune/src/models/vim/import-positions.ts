// Positions of a Vim: how far apart its patches are and for which images, and positions for others if asked. The number of
// positions tells one of stride and image size from the other; the class token's row is in their middle.
import { FormatError, type Tensor, cat, noGrad } from '@mamba-prune/libtorch';
import { UsageError } from '../../errors.js';
import type { LayoutOptions } from '../import/layout.js';
import { resampledGrid } from '../import/positions.js';
import { ShapeReader } from '../import/shapes.js';
import type { StateDict } from '../import/state-dict.js';
import { UntoldError } from '../import/untold.js';
import { gridSide, middleOf } from './config.js';
import type { TrainedGeometry } from './import-script.js';

const name = 'pos_embed';

/** Side of the images of the published models, in pixels. */
const publishedSide = 224;

export interface VimPositions {
  readonly imageSize: number;
  readonly stride: number;
  /** What nobody said and no shape tells. */
  readonly assumed: readonly string[];
}

export interface VimQuestion {
  readonly patchSize: number;
  readonly dModel: number;
  /** What the file says of it beside its tensors. */
  readonly trained?: TrainedGeometry | undefined;
}

/**
 * Leaves `pos_embed` with a row for every token, resampled where that was asked for.
 * @throws FormatError if the patches make no square; UntoldError if stride and image size are not certain; UsageError if they
 *   are not those that were asked for
 */
export function readVimPositions(
  state: StateDict,
  { patchSize, dModel, trained }: VimQuestion,
  said: LayoutOptions,
): VimPositions {
  const length = new ShapeReader('vim', state.shapes).size(name, 1, 3);
  const stored = state.get(name) as Tensor;
  if (stored.size(0) !== 1 || stored.size(2) !== dModel) {
    throw new FormatError(
      `import: got '${name}' of shape [${stored.shape.join(', ')}], expected [1, length, ${dModel}]`,
    );
  }
  const side = Math.sqrt(length - 1);
  if (side < 1 || !Number.isInteger(side)) {
    throw new FormatError(
      `import: got '${name}' of ${length} positions, expected one of a class token and a square number of others: images that are not ` +
        'square, and models with more tokens beside the patches (register tokens), are not known here.',
    );
  }
  // Of a file that was resampled since, the script's arguments say something else than its positions.
  const told =
    trained && imageSide(side, patchSize, trained.stride) === trained.imageSize
      ? trained
      : undefined;
  const own = told ?? publishedGeometry(side, patchSize);
  if (said.resamplePositions === true) {
    const { imageSize, stride } = resample(state, side, patchSize, own, said);
    return { imageSize, stride, assumed: told ? [] : unsaid({ imageSize, stride }, said) };
  }
  if (said.imageSize !== undefined || said.stride !== undefined) {
    // Who says the size of the images knows better than what is usual, but not than what the file says.
    return positionsFor(side, patchSize, said.stride === undefined ? told : own, said);
  }
  if (own === undefined) throw uncertain(side, patchSize);
  return { ...own, assumed: told ? [] : unsaid(own, said) };
}

const unsaid = (taken: TrainedGeometry, said: LayoutOptions): string[] =>
  (['imageSize', 'stride'] as const)
    .filter((name) => said[name] === undefined)
    .map((name) => `${name} ${taken[name]}`);

/** Strides of the published models for a patch: patches side by side, or overlapping by half. */
const usualStrides = (patchSize: number): number[] =>
  patchSize % 2 === 0 ? [patchSize, patchSize / 2] : [patchSize];

/** What side of images a grid of patches is for. */
const imageSide = (side: number, patchSize: number, stride: number): number =>
  (side - 1) * stride + patchSize;

/** For what the caller says of the images, which the positions must fit: one of the two tells the other. */
function positionsFor(
  side: number,
  patchSize: number,
  own: TrainedGeometry | undefined,
  said: LayoutOptions,
): VimPositions {
  const { imageSize } = said;
  const stride = said.stride ?? strideFor(side, patchSize, imageSize);
  const fitting = stride === undefined ? undefined : imageSide(side, patchSize, stride);
  if (
    stride !== undefined &&
    fitting !== undefined &&
    (imageSize === undefined || imageSize === fitting)
  ) {
    const isHalfSaid = imageSize === undefined || said.stride === undefined;
    if (own !== undefined && isHalfSaid && own.imageSize !== fitting) {
      throw otherGeometry(side, patchSize, own, { imageSize: fitting, stride }, said);
    }
    return { imageSize: fitting, stride, assumed: [] };
  }
  const strides = said.stride === undefined ? usualStrides(patchSize) : [said.stride];
  throw new UsageError(
    `import: got positions of ${described(side, patchSize)}, which are for images ${ways(side, patchSize, strides)}, asked for ${imageSize ?? 0} px. ` +
      'Leave out what the file has otherwise, or give `resamplePositions`, which resamples them.',
  );
}

/** One of the two alone would change the other unseen, where positions for another size or stride were wanted. */
const otherGeometry = (
  side: number,
  patchSize: number,
  own: TrainedGeometry,
  { imageSize, stride }: TrainedGeometry,
  said: LayoutOptions,
): UsageError =>
  new UsageError(
    `import: got positions of ${described(side, patchSize)} for images of ${own.imageSize} px at a stride of ${own.stride} px, asked for ` +
      (said.stride === undefined
        ? `${imageSize} px alone, to which they would reach at a stride of ${stride} px. `
        : `a stride of ${stride} px alone, at which they would be for images of ${imageSize} px. `) +
      'Give `resamplePositions` too, which resamples them, or say `imageSize` and `stride` both if the weights were trained so.',
  );

/** The stride by which the patches reach from one side of the images to the other, if there is one. */
function strideFor(side: number, patchSize: number, imageSize = 0): number | undefined {
  const stride = side === 1 ? patchSize : (imageSize - patchSize) / (side - 1);
  return Number.isInteger(stride) && stride >= 1 && stride <= patchSize ? stride : undefined;
}

const described = (side: number, patchSize: number): string =>
  `${side}x${side} patches of ${patchSize} px`;

const ways = (side: number, patchSize: number, strides: readonly number[]): string =>
  strides
    .map((each) => `of ${imageSide(side, patchSize, each)} px at a stride of ${each} px`)
    .join(' or ');

const uncertain = (side: number, patchSize: number): UntoldError =>
  new UntoldError(
    `import: got positions of ${described(side, patchSize)}, which may be for images ${ways(side, patchSize, usualStrides(patchSize))}: no shape tells. ` +
      'Say which with `stride` or `imageSize`.',
  );

/** The geometry of the published models, if the positions fit it; the only one there is where the stride makes no difference. */
function publishedGeometry(side: number, patchSize: number): TrainedGeometry | undefined {
  const strides = usualStrides(patchSize);
  const sizes = strides.map((stride) => ({
    stride,
    imageSize: imageSide(side, patchSize, stride),
  }));
  return (
    sizes.find(({ imageSize }) => imageSize === publishedSide) ??
    (side === 1 ? sizes[0] : undefined)
  );
}

/** For the image size and stride asked for; what is not said stays. */
function resample(
  state: StateDict,
  side: number,
  patchSize: number,
  own: TrainedGeometry | undefined,
  said: LayoutOptions,
): TrainedGeometry {
  const stride = said.stride ?? own?.stride;
  const imageSize = said.imageSize ?? own?.imageSize;
  if (stride === undefined || imageSize === undefined) {
    const what = [
      ...(stride === undefined ? ['the stride (`stride`)'] : []),
      ...(imageSize === undefined ? ['the size of the images (`imageSize`)'] : []),
    ];
    throw new UntoldError(
      `import: got positions of ${side}x${side} patches of ${patchSize} px to resample, and neither they nor an option tell ${what.join(' and ')}. Say ${what.length === 1 ? 'it' : 'both'}.`,
    );
  }
  const to = gridSide({ imageSize, patchSize, stride });
  if (!Number.isInteger(to) || to < 1) {
    throw new UsageError(
      `import: got images of ${imageSize} px for patches of ${patchSize} px at a stride of ${stride} px, expected a stride that divides ` +
        `${imageSize} - ${patchSize}. Choose \`imageSize\` and \`stride\` together.`,
    );
  }
  if (to !== side) {
    state.set(name, resampledAround(state.get(name) as Tensor, side, to));
    state.note(
      `The positions were resampled from ${side}x${side} to ${to}x${to} patches (bicubic, antialiased), for images of ${imageSize} px at a ` +
        `stride of ${stride} px; that of the class token stays, in the middle.`,
    );
  }
  return { imageSize, stride };
}

/**
 * Positions for another grid of patches. The row of the class token is taken out of the middle and put back at the new one.
 * @param positions - shape [1, from * from + 1, width]
 * @returns float64, shape [1, to * to + 1, width]
 */
export function resampledAround(positions: Tensor, from: number, to: number): Tensor {
  return noGrad(() => {
    const count = from * from;
    const [middle, target] = [middleOf(count), middleOf(to * to)];
    const before = positions.narrow(1, 0, middle);
    const token = positions.narrow(1, middle, 1).to('float64');
    const behind = positions.narrow(1, middle + 1, count - middle);
    const patches = resampledGrid(cat([before, behind], 1), from, to);
    const parts = [
      patches.narrow(1, 0, target),
      token,
      patches.narrow(1, target, to * to - target),
    ];
    return cat(parts, 1);
  });
}
