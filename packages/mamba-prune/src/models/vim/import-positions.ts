// Positions of a Vim: how far apart its patches are and for which images, and positions for others if asked. The number of
// positions tells one of stride and image size from the other; the class token's row is in their middle.
import { FormatError, type Tensor, cat, noGrad } from '@mamba-prune/libtorch';
import { UsageError } from '../../errors.js';
import type { LayoutOptions } from '../import/layout.js';
import { resampledGrid } from '../import/positions.js';
import { ShapeReader } from '../import/shapes.js';
import type { StateDict } from '../import/state-dict.js';
import { gridSide, middleOf } from './config.js';

const name = 'pos_embed';

/** Side of the images of the published models, in pixels. */
const publishedSide = 224;

export interface VimPositions {
  readonly imageSize: number;
  readonly stride: number;
  /** What nobody said and no shape tells. */
  readonly assumed: readonly string[];
}

/**
 * Leaves `pos_embed` with a row for every token, resampled where that was asked for.
 * @throws FormatError if the patches make no square; UsageError if stride and image size are not certain, or not those
 *   that were asked for
 */
export function readVimPositions(
  state: StateDict,
  patchSize: number,
  dModel: number,
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
  if (said.resamplePositions === true) return resample(state, side, patchSize, said);
  return positionsFor(side, patchSize, said);
}

/** Strides of the published models for a patch: patches side by side, or overlapping by half. */
const usualStrides = (patchSize: number): number[] =>
  patchSize % 2 === 0 ? [patchSize, patchSize / 2] : [patchSize];

/** What side of images a grid of patches is for. */
const imageSide = (side: number, patchSize: number, stride: number): number =>
  (side - 1) * stride + patchSize;

function positionsFor(side: number, patchSize: number, said: LayoutOptions): VimPositions {
  const { imageSize, stride } = said;
  const grid = `${side}x${side} patches of ${patchSize} px`;
  if (stride !== undefined) {
    const own = imageSide(side, patchSize, stride);
    if (imageSize === undefined || imageSize === own) {
      return {
        imageSize: own,
        stride,
        assumed: [],
      };
    }
    throw new UsageError(
      `import: got positions of ${grid}, which at a stride of ${stride} px are for images of ${own} px, asked for ${imageSize} px. ` +
        'Leave one of `imageSize` and `stride` out, or give `resamplePositions`, which resamples them.',
    );
  }
  if (imageSize !== undefined) {
    const own = side === 1 ? patchSize : (imageSize - patchSize) / (side - 1);
    if (own >= 1 && own <= patchSize && Number.isInteger(own) && imageSize >= patchSize) {
      const fits = imageSide(side, patchSize, own) === imageSize;
      if (fits) return { imageSize, stride: own, assumed: [] };
    }
    const sizes = usualStrides(patchSize).map(
      (each) => `${imageSide(side, patchSize, each)} px at a stride of ${each}`,
    );
    throw new UsageError(
      `import: got positions of ${grid}, which are for images of ${sizes.join(' or ')}, asked for ${imageSize} px. ` +
        'Leave `imageSize` out, or give `resamplePositions` (and `stride`), which resamples them.',
    );
  }
  const published = publishedStride(side, patchSize);
  if (published !== undefined) {
    const assumed = [`imageSize ${publishedSide}`, `stride ${published}`];
    return { imageSize: publishedSide, stride: published, assumed };
  }
  const ways = usualStrides(patchSize).map(
    (each) => `of ${imageSide(side, patchSize, each)} px at a stride of ${each} px`,
  );
  if (side === 1 || ways.length === 1) {
    return { imageSize: imageSide(side, patchSize, patchSize), stride: patchSize, assumed: [] };
  }
  throw new UsageError(
    `import: got positions of ${grid}, which may be for images ${ways.join(' or ')}: no shape tells. Say which with \`stride\` or \`imageSize\`.`,
  );
}

/** The stride by which the patches are those of images of the published size. */
const publishedStride = (side: number, patchSize: number): number | undefined =>
  usualStrides(patchSize).find((each) => imageSide(side, patchSize, each) === publishedSide);

/** For the image size and stride asked for; what is not said is that of the published models, if it fits those. */
function resample(
  state: StateDict,
  side: number,
  patchSize: number,
  said: LayoutOptions,
): VimPositions {
  const published = publishedStride(side, patchSize);
  const stride = said.stride ?? published;
  const imageSize = said.imageSize ?? (published === undefined ? undefined : publishedSide);
  if (stride === undefined || imageSize === undefined) {
    throw new UsageError(
      `import: got positions of ${side}x${side} patches of ${patchSize} px to resample, and neither they nor an option tell the ` +
        `${stride === undefined ? 'stride' : 'size of the images'}. Say it with \`${stride === undefined ? 'stride' : 'imageSize'}\`.`,
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
  return { imageSize, stride, assumed: [] };
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
