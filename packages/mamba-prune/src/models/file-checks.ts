// What a file says of its model, held against its tensors before anything is allocated.
import { type DType, FormatError, isFloat } from '@mamba-prune/libtorch';
import { UsageError } from '../errors.js';
import { plural } from '../format.js';
import { listed, printableLine } from '../printable.js';
import { modelShapes } from './registry.js';
import { shapeProblems } from './shape-problems.js';

/** What the header of a file says of a tensor. */
export interface StoredTensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
}

/** BatchNorm's counter is the one tensor of integers, and nothing here uses it: PyTorch before 0.4.1 did not write it. */
export const isCounter = (name: string): boolean => name.endsWith('.num_batches_tracked');

/**
 * @param config - as a file describes its model
 * @param stored - the tensors of the same file
 * @throws FormatError if the tensors are not those of such a model: lists what is missing, unexpected,
 *   of another shape, or of integers
 * @throws UsageError for a configuration that no model has
 */
export function checkTensors(
  config: { readonly family: string; readonly arch?: string },
  stored: ReadonlyMap<string, StoredTensor>,
): void {
  const shapes = new Map(Array.from(stored, ([name, { shape }]) => [name, shape]));
  const expected = modelShapes(config);
  const problems = shapeProblems(expected, shapes, isCounter);
  const integers = Array.from(stored)
    .filter(([name, { dtype }]) => expected.has(name) && !isFloat(dtype) && !isCounter(name))
    .map(([name, { dtype }]) => `${name} (${dtype})`);
  if (integers.length > 0) {
    problems.push(`${integers.length} of integers, expected floats: ${listed(integers)}`);
  }
  if (problems.length === 0) return;
  throw new FormatError(
    `the tensors are not those of ${printableLine(config.arch ?? 'the model')}: ${problems.join('; ')}`,
  );
}

/**
 * What in the description of a model contradicts its sizes or cannot be computed with; none if all fits.
 */
export function infoProblems(
  { channels, numClasses }: { readonly channels: number; readonly numClasses: number },
  {
    classes,
    mean,
    std,
  }: {
    readonly classes: readonly string[];
    readonly mean: readonly number[];
    readonly std: readonly number[];
  },
): string[] {
  const problems = [
    // Of an imported model the names are not known.
    ...(classes.length > 0 ? lengthProblem('classes', classes, numClasses) : []),
    ...lengthProblem('mean', mean, channels),
    ...lengthProblem('std', std, channels),
  ];
  const ranges = rangeProblems(mean, std).map(
    ({ name, got, expected }) => `got ${got} in ${name}, expected ${expected}`,
  );
  return [...problems, ...ranges];
}

/**
 * A list that is not as long as the model has classes or channels.
 * @param name - as the message calls it
 */
export function lengthProblem(
  name: string,
  list: readonly (string | number)[],
  expected: number,
): string[] {
  if (list.length === expected) return [];
  const got = list.length === 0 ? '' : ` (${listed(list.map(String))})`;
  const what = name.includes('classes') ? 'classes' : 'channels';
  return [
    `got ${plural(list.length, 'value')} for ${name}${got}, expected ${expected}, as many as the model has ${what}`,
  ];
}

/** Room for what is off by any usual factor, 255 among them; what lies beyond overflows float32 soon. */
const farthest = 1e4;
const narrowest = 1e-6;

/** A mean or deviation that no image can be normalised with. */
interface RangeProblem {
  readonly name: 'mean' | 'std';
  readonly got: number;
  /** What it should be, `numbers above 0`. */
  readonly expected: string;
}

/** None if all are sensible. */
export function rangeProblems(mean: readonly number[], std: readonly number[]): RangeProblem[] {
  const problems: RangeProblem[] = [];
  const check = (name: 'mean' | 'std', got: number | undefined, expected: string): void => {
    if (got !== undefined) problems.push({ name, got, expected });
  };
  const to = `to ${farthest}, of pixels from 0 to 1`;
  const far = mean.find((value) => !(Math.abs(value) <= farthest));
  const flat = std.find((value) => !(value > 0));
  const odd = std.find((value) => value > 0 && !(value >= narrowest && value <= farthest));
  check('mean', far, `numbers from -${farthest} ${to}`);
  check('std', flat, 'numbers above 0');
  check('std', odd, `numbers from ${narrowest} ${to}`);
  return problems;
}

/** @throws UsageError for information, made by hand maybe, that is not that of the model */
export function checkInfo(
  where: string,
  config: Parameters<typeof infoProblems>[0],
  info: Parameters<typeof infoProblems>[1],
): void {
  const problems = infoProblems(config, info);
  if (problems.length === 0) return;
  throw new UsageError(
    `${where}: the information is not that of the model: ${problems.join('; ')}`,
  );
}

/**
 * Adds a file's name to what goes wrong while it is read.
 * @param options.isOurs - the file describes itself: then nothing in it is a mistake in the arguments
 */
export function withFileName<T>(
  path: string,
  body: () => T,
  { isOurs = false }: { readonly isOurs?: boolean } = {},
): T {
  try {
    return body();
  } catch (error) {
    if (!(error instanceof UsageError || error instanceof FormatError)) throw error;
    const message = error.message.includes(path) ? error.message : `${path}: ${error.message}`;
    throw error instanceof UsageError && !isOurs
      ? new UsageError(message, { cause: error })
      : new FormatError(message, { cause: error });
  }
}
