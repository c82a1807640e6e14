// Checks that the configurations of several families share.
import type { Tensor } from '@mamba-prune/libtorch';
import { z } from 'zod';
import { UsageError } from '../errors.js';
import { listed } from '../printable.js';
import { dataLimits, largestSize, modelLimits, mostStages } from '../limits.js';

/** A size of a model: an integer over 0. */
export const size = z.int().positive().max(largestSize);

/** A number of blocks. Each is a module with tensors of its own. */
export const blockCount = z.int().positive().max(modelLimits.depth);

/** Number of blocks of each stage. */
export const stageBlocks = z.array(blockCount).min(1).max(mostStages);

/** Side of the images of a network of convolutions. No tensor tells it, so its bound is that of the data sets. */
export const convolvedSize = size.max(dataLimits.imageSize);

/** Chance that a sample skips a branch in training, rising linearly to this at the last block. */
export const lastDropPath = z.number().min(0).max(0.99);

/** Fields of configurations, for the schemas of families. */
export const configFields = {
  /** What every configuration has beside its family. */
  common: {
    arch: z.string(),
    imageSize: size,
    channels: size,
    numClasses: size,
    widths: z.record(z.string(), size),
  },
  /** A whole number over 0. */
  size,
  /** A number of blocks. */
  depth: blockCount,
} as const;

/** A configuration read from a file or made by hand. @throws UsageError naming every wrong field */
export function parseConfig<S extends z.ZodType>(
  family: string,
  schema: S,
  value: unknown,
): z.infer<S> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new UsageError(`${family} configuration: ${z.prettifyError(parsed.error)}`);
}

/**
 * The number of blocks that a model is asked to have, before anything is made for each.
 * @throws UsageError
 */
export function checkDepth(family: string, depth: unknown): void {
  if (blockCount.safeParse(depth).success) return;
  throw new UsageError(
    `${family} configuration: depth: got ${shown(depth)}, expected an integer from 1 to ${modelLimits.depth}`,
  );
}

/**
 * The numbers of blocks that a model is asked to have in its stages, before anything is made for each.
 * @param example - such numbers, for the message
 * @throws UsageError
 */
export function checkStages(family: string, blocks: unknown, example: readonly number[]): number[] {
  const parsed = stageBlocks.safeParse(blocks);
  if (parsed.success) return parsed.data;
  throw new UsageError(
    `${family} configuration: blocks: got ${JSON.stringify(blocks)}, expected the number of blocks of each stage, such as ` +
      `[${example.join(', ')}]: up to ${mostStages} stages of 1 to ${modelLimits.depth} blocks.`,
  );
}

/**
 * A width that is given as a multiple of another one.
 * @param name - of the option, such as expand
 * @throws UsageError unless it is a whole number
 */
export function multipleOf(family: string, name: string, factor: number, width: number): number {
  const isNumber = typeof factor === 'number' && Number.isFinite(factor);
  const exact = factor * width;
  // 1.1 * 30 is 33.00000000000001.
  const whole = Math.round(exact);
  if (isNumber && whole >= 1 && Math.abs(exact - whole) <= 1e-9 * whole) return whole;
  // Another option is what is wrong, and is refused by name.
  if (isNumber && factor > 0 && !(Number.isInteger(width) && width > 0)) return exact;
  const makes = isNumber ? `, which makes ${exact} of a width of ${width}` : '';
  throw new UsageError(
    `${family} configuration: ${name}: got ${shown(factor)}${makes}, expected a number above 0 that makes a whole number. ` +
      `Choose \`${name}\` and \`dModel\` together.`,
  );
}

const shown = (value: unknown): string =>
  typeof value === 'string' ? `'${value}'` : typeof value === 'number' ? `${value}` : typeof value;

/**
 * @param groups - that must be there
 * @param optional - that may be
 * @throws UsageError unless `widths` names the groups that the model has
 */
export function checkWidths(
  family: string,
  widths: Readonly<Record<string, number>>,
  groups: readonly string[],
  optional: readonly string[] = [],
): void {
  const known = new Set([...groups, ...optional]);
  const missing = groups.filter((name) => widths[name] === undefined);
  const unknown = Object.keys(widths).filter((name) => !known.has(name));
  const problems = [
    missing.length > 0 ? `without the width of ${listed(missing)}` : '',
    unknown.length > 0 ? `with the width of ${listed(unknown)}` : '',
  ].filter((problem) => problem !== '');
  if (problems.length === 0) return;
  throw new UsageError(
    `${family} configuration: got widths ${problems.join(' and ')}, ` +
      `expected one for each of the groups ${listed(groups)}`,
  );
}

/** A file may name an image size beyond all bounds: its divisors are not looked for up to there. */
const maxPatchListed = 4096;

/** @throws UsageError unless the image divides into patches; lists the patch sizes that do */
export function checkPatches(family: string, imageSize: number, patchSize: number): void {
  if (imageSize % patchSize === 0) return;
  const candidates = Math.min(imageSize, maxPatchListed);
  const divisors = Array.from({ length: candidates }, (_, i) => i + 1).filter(
    (d) => imageSize % d === 0,
  );
  throw new UsageError(
    `${family} configuration: got patch size ${patchSize} for images of ${imageSize} px, expected a divisor. ` +
      `Choose \`patchSize\` from ${divisors.join(', ')}.`,
  );
}

/**
 * @param images - expected of shape [batch, channels, imageSize, imageSize]
 * @throws Error naming both shapes
 */
export function checkImages(
  model: string,
  images: Tensor,
  { channels, imageSize }: { readonly channels: number; readonly imageSize: number },
): void {
  if (!Array.isArray((images as Partial<Tensor> | undefined)?.shape)) {
    throw new UsageError(
      `${model}: got ${shown(images)} for images, expected a tensor [batch, ${channels}, ${imageSize}, ${imageSize}].`,
    );
  }
  const [, c, h, w] = images.shape;
  if (images.ndim === 4 && c === channels && h === imageSize && w === imageSize) return;
  throw new UsageError(
    `${model}: got images of shape [${images.shape.join(', ')}], expected [batch, ${channels}, ${imageSize}, ${imageSize}]. ` +
      'Resize the images, or make the model with `imageSize` and `channels`.',
  );
}

/** Chance to skip the branches of block `index`: rises linearly to `last` at the last block. */
export function dropPathRate(last: number, index: number, blocks: number): number {
  return (last * index) / Math.max(1, blocks - 1);
}
