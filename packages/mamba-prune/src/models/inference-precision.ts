// In what models compute at inference. On a GPU that is the type of the images. On a CPU the activations stay float32,
// and the blocks multiply in low precision inside (layers/low-products.ts).
import type { DType } from '@mamba-prune/libtorch';
import * as kernels from '@mamba-prune/libtorch/kernels';
import { UsageError } from '../errors.js';
import {
  type ComputePrecision,
  type InferencePrecision,
  type ResolvedInferencePrecision,
  inferencePrecisionNames,
} from '../precision.js';
import type { ImageModel } from './image-model.js';
import { imageType, precisionOn, weightCopies } from './precision.js';

/**
 * In what a model computes at inference on a device.
 * @param device - `cpu`, `cuda:0` ...
 * @throws UsageError for an unknown name, and for int8 on a GPU
 */
export function inferencePrecisionOn(
  device: string,
  precision: InferencePrecision = 'auto',
): ResolvedInferencePrecision {
  if (!inferencePrecisionNames.includes(precision)) {
    throw new UsageError(
      `precision: got '${precision as string}', expected one of ${inferencePrecisionNames.join(', ')}.`,
    );
  }
  if (precision !== 'int8') return precisionOn(device, precision);
  if (device !== 'cpu') {
    throw new UsageError(
      `precision: got int8 on ${device}, but only a CPU computes in it. Take bf16, or compute on the CPU (\`device\` cpu).`,
    );
  }
  return precision;
}

/** What a model needs to be ready for inference, besides `eval()`. */
export interface PreparedInference {
  /** The type of the images that it is given. */
  readonly images: Extract<DType, 'float32' | 'bfloat16'>;
  /** The same, as `evaluate` is told. */
  readonly imagePrecision: ComputePrecision;
  /** Calls of the model are made in here. The task ends when it returns: it cannot be asynchronous. */
  readonly run: <T>(task: () => T) => T;
  /** What was made for the model is freed. */
  dispose(): void;
}

type Model = Parameters<typeof weightCopies>[0] & Pick<Partial<ImageModel>, 'multiplyIn'>;

/**
 * Makes what a model needs to compute in a precision. It does so within `run`, however many use it at the same time.
 * @param name - of the model, for errors
 * @throws UsageError for int8 where the processor or the model has no such products, and for bf16 on a CPU where the
 *   processor has none and the model would use them
 */
export function prepareInference(
  model: Model,
  device: string,
  precision: ResolvedInferencePrecision,
  name = 'the model',
): PreparedInference {
  if (device === 'cpu' && precision !== 'fp32') {
    const missing = kernels.productsMissing(precision);
    const products = missing === undefined ? model.multiplyIn?.(precision) : undefined;
    if (products) {
      return {
        images: 'float32',
        imagePrecision: 'fp32',
        run: (task) => products.run(task),
        dispose: () => {
          products.dispose();
        },
      };
    }
    if (missing !== undefined && (model.multiplyIn !== undefined || precision === 'int8')) {
      throw new UsageError(
        `precision: got ${precision} on a CPU, but ${missing}. Take fp32 (\`precision\` fp32).`,
      );
    }
    if (precision === 'int8') {
      throw new UsageError(
        `precision: got int8, but ${name} has no products in it: they are for the blocks of a Mamba that scans one way ` +
          'in each, of a Vim and of a ViT. Take fp32 (`precision` fp32).',
      );
    }
  }
  // Not int8, which was dealt with.
  const imagePrecision = precision === 'int8' ? 'fp32' : precision;
  const copies = weightCopies(model, imagePrecision, { fixed: true });
  return {
    images: imageType(imagePrecision),
    imagePrecision,
    run: (task) => task(),
    dispose: () => {
      copies?.dispose();
    },
  };
}
