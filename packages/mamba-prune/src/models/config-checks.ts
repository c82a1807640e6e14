// Checks that the configurations of several families share.
import type { Tensor } from '@mamba-prune/libtorch';
import { z } from 'zod';
import { UsageError } from '../errors.js';

/** A size of a model: an integer over 0. */
export const size = z.int().positive();

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

/** @throws UsageError unless `widths` names exactly the groups that the model has */
export function checkWidths(
  family: string,
  widths: Readonly<Record<string, number>>,
  groups: readonly string[],
): void {
  const missing = groups.filter((name) => widths[name] === undefined);
  const unknown = Object.keys(widths).filter((name) => !groups.includes(name));
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

/** No network has so many; a file or an option may ask for any number. */
const maxBlocks = 10_000;

/** Before anything is made for every block. @throws UsageError for more blocks than any network has */
export function checkBlockCount(family: string, blocks: number): void {
  if (!(blocks > maxBlocks)) return;
  throw new UsageError(
    `${family} configuration: got ${blocks} blocks, expected at most ${maxBlocks}. Choose fewer.`,
  );
}

/**
 * Before anything is made for every block.
 * @throws UsageError for a depth that is larger than the number of widths, which name every block
 */
export function checkDepth(
  family: string,
  depth: number,
  widths: Readonly<Record<string, number>>,
): void {
  const named = Object.keys(widths).length;
  if (depth <= named) return;
  throw new UsageError(
    `${family} configuration: got ${depth} blocks and ${named} widths, expected at least one width for every block`,
  );
}

/** @throws UsageError unless the image divides into patches; lists the patch sizes that do */
export function checkPatches(family: string, imageSize: number, patchSize: number): void {
  if (imageSize % patchSize === 0) return;
  const candidates = Math.min(imageSize, maxPatchListed);
  const divisors = Array.from({ length: candidates }, (_, i) => i + 1).filter(
    (d) => imageSize % d === 0,
  );
  throw new UsageError(
    `${family} configuration: got patch size ${patchSize} for images of ${imageSize} px, expected a divisor. ` +
      `Choose --patch from ${divisors.join(', ')}.`,
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
  const [, c, h, w] = images.shape;
  if (images.ndim === 4 && c === channels && h === imageSize && w === imageSize) return;
  throw new Error(
    `${model}: got images of shape [${images.shape.join(', ')}], expected [batch, ${channels}, ${imageSize}, ${imageSize}]. ` +
      'Resize the images, or make the model with --image-size and --channels.',
  );
}

/** Chance to skip the branches of block `index`: rises linearly to `last` at the last block. */
export function dropPathRate(last: number, index: number, blocks: number): number {
  return (last * index) / Math.max(1, blocks - 1);
}

/** Names in one line; a long list is cut. */
export function listed(names: readonly string[], most = 8): string {
  const shown = names.slice(0, most).join(', ');
  return names.length > most ? `${shown} and ${names.length - most} more` : shown;
}
