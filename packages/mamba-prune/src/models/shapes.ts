// Shapes of every tensor of a model from its configuration alone, so that a file can be held against what it says of
// itself before anything is allocated. Tests hold them against the models.
import { scope } from '@mamba-prune/libtorch';
import type { Family, ModelShapes } from './family.js';
import type { ModelConfigBase } from './image-model.js';

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

/** Of every tensor, buffers included. A family that does not tell them has a model made to look at. */
export function shapesIn<C extends ModelConfigBase>(family: Family<C>, config: C): ModelShapes {
  if (family.shapes) return family.shapes(config);
  return scope(() => {
    const model = family.create(config);
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
