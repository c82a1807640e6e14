// Matrix products in bfloat16 or 8-bit integers on a CPU, for inference: activations and results are float32, and are
// converted on the way. The operators of whole blocks take matrices in this form too.
import { callOperator } from '../dispatch.js';
import type { Tensor } from '../tensor.js';

/**
 * In what products are computed: `bf16` with sums of float32; `int8` with weights of 8 bits and a step for each output,
 * activations of 8 bits and a step and a zero for each token, found as they come, and exact sums.
 */
export type ProductPrecision = 'bf16' | 'int8';

/** Why this processor has no such products, as the end of a sentence; undefined if it has. */
export function productsMissing(precision: ProductPrecision): string | undefined {
  const reason = callOperator('mamba_prune::low_precision_missing', precision) as string;
  return reason === '' ? undefined : reason;
}

/** The instructions that they are computed with, such as `avx512_bf16`; empty if the processor has none. */
export function productKernels(precision: ProductPrecision): string {
  return callOperator('mamba_prune::low_precision_kernels', precision) as string;
}

/**
 * A matrix as the products read it. It is not for files.
 * @param weight - float32, shape [out, in]
 * @returns uint8, one dimension
 * @throws TorchError for other types or shapes, and for more than 65,536 inputs
 */
export function packProduct(weight: Tensor, precision: ProductPrecision): Tensor {
  return callOperator('mamba_prune::pack_low', weight, precision) as Tensor;
}

/** What is done to a product before it is stored. */
export interface LowLinearOptions {
  /** Shape [out]. */
  readonly bias?: Tensor | null | undefined;
  /** Of the result's shape. */
  readonly residual?: Tensor | null | undefined;
  /** GELU by the error function, to within 8e-5, last of all. Default `false` */
  readonly gelu?: boolean | undefined;
}

/**
 * x W^T + bias + residual with a matrix of `packProduct`.
 * @param x - float32, shape [..., in]
 * @returns float32, shape [..., out]
 * @throws TorchError for tensors that require gradients while they are recorded, other types or shapes, and where the
 *   processor has no such products
 */
export function lowLinear(
  x: Tensor,
  packed: Tensor,
  { bias, residual, gelu = false }: LowLinearOptions = {},
): Tensor {
  return callOperator('mamba_prune::low_linear', x, packed, bias, residual, gelu) as Tensor;
}

/** Patches of images. */
export interface Patches {
  /** Pixels of a side. */
  readonly patch: number;
  /** Pixels from one to the next. */
  readonly stride: number;
}

/**
 * A convolution of patches without padding, as a sequence.
 * @param images - float32, shape [batch, channels, height, width]
 * @param packed - `packProduct` of the convolution's weight, as a matrix [out, channels * patch * patch]
 * @param bias - shape [out]
 * @returns float32, shape [batch, patches, out], patches row by row
 * @throws TorchError as `lowLinear`, and for a patch that does not fit into an image
 */
export function lowPatches(
  images: Tensor,
  packed: Tensor,
  bias: Tensor | null,
  { patch, stride }: Patches,
): Tensor {
  return callOperator('mamba_prune::low_patches', images, packed, bias, patch, stride) as Tensor;
}
