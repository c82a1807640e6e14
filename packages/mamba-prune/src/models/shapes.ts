// Shapes of every tensor of a model from its configuration alone, so that a file can be held against what it says of
// itself before anything is allocated. Tests hold them against the models.
import { scope } from '@mamba-prune/libtorch';
import { TooLargeError } from '../errors.js';
import { isOutOfMemory } from '../memory.js';
import { modelFrom, shapesFrom } from './family-results.js';
import type { Family, ModelShapes } from './family.js';
import type { ImageModel, ModelConfigBase } from './image-model.js';

/** Name and shape of one tensor. */
export type NamedShape = [name: string, shape: readonly number[]];

export const linear = (name: string, to: number, from: number): NamedShape[] => [
  [`${name}.weight`, [to, from]],
  [`${name}.bias`, [to]],
];

export const layerNorm = (name: string, width: number): NamedShape[] => [
  [`${name}.weight`, [width]],
  [`${name}.bias`, [width]],
];

export const batchNorm = (name: string, width: number): NamedShape[] => [
  ...layerNorm(name, width),
  [`${name}.running_mean`, [width]],
  [`${name}.running_var`, [width]],
  [`${name}.num_batches_tracked`, []],
];

/** Width of a group that a configuration has checked to be there. */
export const widthIn = (
  { widths }: { readonly widths: Readonly<Record<string, number>> },
  group: string,
): number => widths[group] ?? 0;

/**
 * A model of a configuration that has been checked.
 * @throws TooLargeError where there is no memory for it: families that do not tell their shapes are not counted before
 */
export function makeModel(family: Family, config: ModelConfigBase): ImageModel {
  try {
    return modelFrom(family, 'create', family.create(config));
  } catch (error) {
    if (!isOutOfMemory(error)) throw error;
    throw new TooLargeError(
      `${config.arch}: the memory of this machine does not suffice for a model of these sizes. Choose smaller ones (\`dModel\`, \`depth\`, ...).`,
      { cause: error },
    );
  }
}

/** Of every tensor, buffers included. A family that does not tell them has a model made to look at. */
export function shapesIn(family: Family, config: ModelConfigBase): ModelShapes {
  if (family.shapes) return shapesFrom(family, family.shapes(config));
  return scope(() => {
    const model = makeModel(family, config);
    try {
      return new Map(Array.from(model.stateDict(), ([name, { shape }]) => [name, shape]));
    } finally {
      model.dispose();
    }
  });
}

/** The same as `numParameters()` of a model of these tensors. */
export function countParameters(shapes: ModelShapes): number {
  let sum = 0;
  for (const [name, shape] of shapes) {
    if (!isBuffer(name)) sum += shape.reduce((product, size) => product * size, 1);
  }
  return sum;
}

/** The statistics of BatchNorm. */
const isBuffer = (name: string): boolean =>
  /\.(running_mean|running_var|num_batches_tracked)$/.test(name);
