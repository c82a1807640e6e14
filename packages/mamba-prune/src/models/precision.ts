// Models compute in the type of their images. Weights, gradients and optimizer state are float32 always. layers/running.ts says
// which other forms of the weights there are.
import { type DType, type Tensor, WeightCopies, cudaHasBfloat16 } from '@mamba-prune/libtorch';
import * as kernels from '@mamba-prune/libtorch/kernels';
import { UsageError } from '../errors.js';
import { type ComputePrecision, type Precision, precisionNames } from '../precision.js';
import type { ImageModel } from './image-model.js';

/**
 * In what a model computes on a device.
 * @param device - `cpu`, `cuda:0` ...
 * @throws UsageError for an unknown name
 */
export function precisionOn(device: string, precision: Precision = 'auto'): ComputePrecision {
  if (!precisionNames.includes(precision)) {
    throw new UsageError(
      `precision: got '${precision as string}', expected one of ${precisionNames.join(', ')}.`,
    );
  }
  if (precision !== 'auto') return precision;
  return device.startsWith('cuda') && cudaHasBfloat16() ? 'bf16' : 'fp32';
}

/** The type that images are given to a model in. */
export function imageType(precision: ComputePrecision): Extract<DType, 'float32' | 'bfloat16'> {
  return precision === 'bf16' ? 'bfloat16' : 'float32';
}

/** Kept copies of a model's weights. */
export interface ModelCopies {
  /** Copies the weights as they are now. */
  refresh(): void;
  dispose(): void;
}

/**
 * 16-bit copies of a model's weights, for as long as it computes in them; nothing for fp32. Without
 * them it computes the same, but converts every weight at every use.
 * @param fixed - that the weights stay as they are until the copies are disposed of: a GPU may then be
 *   given them in an order of its own
 * @returns the caller's to refresh and to dispose
 */
export function weightCopies(
  model: { parameters(): Tensor[] } & Pick<Partial<ImageModel>, 'packWeights'>,
  precision: ComputePrecision,
  { fixed = false }: { readonly fixed?: boolean } = {},
): ModelCopies | undefined {
  if (precision !== 'bf16') return undefined;
  const dtype = imageType(precision);
  const parameters = model.parameters();
  const device = parameters[0]?.device ?? 'cpu';
  const packed = kernels.hasFusedBranches(device) ? model.packWeights?.(dtype, fixed) : undefined;
  const masters = new Set(packed?.masters);
  const others = parameters.filter((parameter) => !masters.has(parameter));
  const copies = new WeightCopies(others, 'bfloat16', packed?.parts);
  packed?.finish?.();
  return {
    refresh: () => {
      copies.refresh();
      packed?.finish?.();
    },
    dispose: () => {
      copies.dispose();
      packed?.dispose();
    },
  };
}
