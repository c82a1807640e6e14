// Positions of patches: for which image size they are, and for another one if asked.
import { FormatError, type Tensor, cat, noGrad, tensor, zeros } from '@mamba-prune/libtorch';
import { UsageError } from '../../errors.js';
import type { LayoutOptions } from './layout.js';
import { ShapeReader } from './shapes.js';
import type { StateDict } from './state-dict.js';

const name = 'pos_embed';

/** A form with positions for fewer tokens than there are. */
export interface FewerPositions {
  /** How many of the tokens before the patches have one. */
  readonly rows: number;
  /**
   * Whether models of this form and of images of this size are known. Others are not read unless the caller says their
   * size: as many positions are those of all tokens before a grid of patches that is not square, 4x6 and a class token
   * being 5x5.
   */
  readonly isPublished: (imageSize: number) => boolean;
}

export interface PositionQuestion {
  readonly family: string;
  /** Tokens before the patches. */
  readonly before: number;
  /** Numbers of those tokens that may have positions, beside all of them. */
  readonly alternatives: readonly FewerPositions[];
  readonly patchSize: number;
  readonly dModel: number;
}

/**
 * Leaves `pos_embed` with a row for every token: zeros for tokens that the file has no position for, resampled where
 * that was asked for.
 * @returns side of the images in pixels
 * @throws FormatError if the patches make no square; UsageError if the images were said to be of another size, or if
 *   the file fits two sizes, or images that are not square too
 */
export function readPositions(
  state: StateDict,
  question: PositionQuestion,
  { imageSize: wanted, resamplePositions = false }: LayoutOptions,
): number {
  const { family, before, patchSize, dModel } = question;
  const length = new ShapeReader(family, state.shapes).size(name, 1, 3);
  const stored = state.get(name) as Tensor;
  if (stored.size(0) !== 1 || stored.size(2) !== dModel) {
    throw new FormatError(
      `import: got '${name}' of shape [${stored.shape.join(', ')}], expected [1, length, ${dModel}]`,
    );
  }
  const rows = positionedTokens(length, question, { wanted, resamplePositions });
  const side = Math.sqrt(length - rows);
  if (rows < before) addRows(state, rows, before - rows);
  const imageSize = side * patchSize;
  if (wanted === undefined || wanted === imageSize) return imageSize;
  if (!resamplePositions) {
    throw new UsageError(
      `import: got positions for images of ${imageSize} px (${side}x${side} patches of ${patchSize} px), asked for ${wanted} px. ` +
        'Leave `imageSize` out, or give `resamplePositions`, which resamples them as timm does.',
    );
  }
  if (!Number.isInteger(wanted / patchSize)) {
    throw new UsageError(
      `import: \`imageSize\`: got ${wanted} px, expected a multiple of the patch size ${patchSize}.`,
    );
  }
  state.set(name, resampled(state.get(name) as Tensor, before, side, wanted / patchSize));
  state.note(
    `The positions were resampled from ${side}x${side} to ${wanted / patchSize}x${wanted / patchSize} patches (bicubic, antialiased), ` +
      `for images of ${wanted} px.`,
  );
  return wanted;
}

const isSquare = (count: number): boolean => count > 0 && Number.isInteger(Math.sqrt(count));

/** Whether as many patches can lie in two rows and columns or more. */
function makesGrid(count: number): boolean {
  for (let side = 2; side * side <= count; side++) if (count % side === 0) return true;
  return false;
}

/** How many tokens before the patches have positions. */
function positionedTokens(
  length: number,
  { before, alternatives, patchSize }: PositionQuestion,
  {
    wanted,
    resamplePositions,
  }: { readonly wanted?: number | undefined; readonly resamplePositions: boolean },
): number {
  // Of positions that are resampled, those that the file has are for another size than the one asked for.
  const imageSize = resamplePositions ? undefined : wanted;
  const how = resamplePositions ? ' without `resamplePositions`' : '';
  const counts = [...new Set([before, ...alternatives.map(({ rows }) => rows)])].filter((count) =>
    isSquare(length - count),
  );
  const sideOf = (count: number): number => Math.sqrt(length - count) * patchSize;
  const fitting = counts.filter((count) => imageSize === undefined || sideOf(count) === imageSize);
  const [first, second] = fitting.length > 0 ? fitting : counts;
  if (first === undefined) {
    throw new FormatError(
      `import: got a position embedding for ${length - before} patches, expected a square number: only square images are supported`,
    );
  }
  if (second === undefined) {
    const isCertain =
      first === before ||
      // All tokens would leave no patch, or patches that lie in one row.
      !makesGrid(length - before) ||
      imageSize !== undefined ||
      alternatives.some(({ rows, isPublished }) => rows === first && isPublished(sideOf(first)));
    if (isCertain) return first;
    throw maybeNotSquare({ length, before, rows: first, imageSize: sideOf(first), how });
  }
  const sizes = [first, second].map((count) => `${sideOf(count)} px`);
  throw new UsageError(
    `import: got ${length} positions, which are for images of ${sizes.join(' or ')}: with positions for ${first} or ${second} of ` +
      `the tokens before the patches. Say which with \`imageSize\`${how}.`,
  );
}

interface Uncertain {
  readonly length: number;
  readonly before: number;
  readonly rows: number;
  readonly imageSize: number;
  /** What else to do, behind the option. */
  readonly how: string;
}

const maybeNotSquare = ({ length, before, rows, imageSize, how }: Uncertain): UsageError =>
  new UsageError(
    `import: got ${length} positions, expected those of a square of patches and the ${before} ${before === 1 ? 'token' : 'tokens'} before it. ` +
      `They may be for images of ${imageSize} px, with positions for ${rows === 0 ? 'none' : rows} of these tokens, or for all tokens and ` +
      `${length - before} patches of images that are not square, which are not known here: no shape tells. ` +
      `If the images are square, say so with \`imageSize\` ${imageSize}${how}.`,
  );

/** Zeros behind the rows of the tokens that have positions: nothing is added to the others. */
function addRows(state: StateDict, rows: number, count: number): void {
  const stored = state.get(name) as Tensor;
  const patches = stored.narrow(1, rows, stored.size(1) - rows);
  const none = zeros([1, count, stored.size(2)], { dtype: stored.dtype });
  const parts = [...(rows > 0 ? [stored.narrow(1, 0, rows)] : []), none, patches];
  state.set(
    name,
    noGrad(() => cat(parts, 1)),
  );
  state.note(
    `${count} of the tokens before the patches ${count === 1 ? 'has' : 'have'} no position in the file and got one of zeros, which is the same.`,
  );
}

/** As timm's resample_abs_pos_embed: rows before those of patches stay. */
function resampled(positions: Tensor, before: number, from: number, to: number): Tensor {
  return noGrad(() => {
    const patches = resampledGrid(positions.narrow(1, before, from * from), from, to);
    if (before === 0) return patches;
    return cat([positions.narrow(1, 0, before).to('float64'), patches], 1);
  });
}

/**
 * Positions of a square of patches for another square: bicubic, with antialiasing.
 * @param positions - shape [1, from * from, width], row by row
 * @returns float64, shape [1, to * to, width]
 */
export function resampledGrid(positions: Tensor, from: number, to: number): Tensor {
  const width = positions.size(2);
  const grid = positions.to('float64').reshape(from, from, width);
  const weights = tensor(bicubicWeights(from, to), { dtype: 'float64' });
  const rows = weights.matmul(grid.reshape(from, from * width)).reshape(to, from, width);
  return weights.matmul(rows).reshape(1, to * to, width);
}

/**
 * The matrix [to, from] that PyTorch's `interpolate` with mode 'bicubic', antialias and align_corners=False multiplies
 * a row of values by: Keys' kernel with a = -0.5 (1981, IEEE ASSP 29), as Pillow's, wider by the factor that the row
 * gets shorter by.
 */
function bicubicWeights(from: number, to: number): number[][] {
  const scale = from / to;
  const wider = Math.max(scale, 1);
  const support = 2 * wider;
  return Array.from({ length: to }, (_, i) => {
    const center = scale * (i + 0.5);
    const first = Math.max(Math.trunc(center - support + 0.5), 0);
    const end = Math.min(Math.trunc(center + support + 0.5), from);
    const row = Array.from({ length: from }, (__, j) =>
      j >= first && j < end ? keys((j - center + 0.5) / wider) : 0,
    );
    const sum = row.reduce((all, value) => all + value, 0);
    return row.map((value) => value / sum);
  });
}

function keys(at: number): number {
  const [a, x] = [-0.5, Math.abs(at)];
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}
