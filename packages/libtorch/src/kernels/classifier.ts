// The last layer of a classifier and its loss: on a GPU kernels of their own, since their products are narrower than the tiles of
// a library's, and its loss goes through the samples in one block.
import { callOperator, hasOperator } from '../dispatch.js';
import { crossEntropy, linear } from '../nn/functional.js';
import type { Linear } from '../nn/linear.js';
import type { Tensor } from '../tensor.js';

/** More are a product that a library's kernels are made for: a hundred take it 25 us, and ours 40. */
const mostClasses = 32;

const isFloat32OnGpu = (tensor: Tensor): boolean =>
  tensor.device.startsWith('cuda') && tensor.dtype === 'float32';

/**
 * The logits of a classifier's last layer. On a GPU its gradients are first derivatives only.
 *
 * @param features - shape [batch, features]
 * @param head - its weight has a row for each class
 * @returns shape [batch, classes]
 */
export function classLogits(
  features: Tensor,
  { weight, bias, outFeatures }: Pick<Linear, 'weight' | 'bias' | 'outFeatures'>,
): Tensor {
  const operator = 'mamba_prune::classifier';
  const fits = isFloat32OnGpu(features) && isFloat32OnGpu(weight) && features.ndim === 2;
  if (fits && bias && outFeatures <= mostClasses && features.size(0) > 0 && hasOperator(operator)) {
    return callOperator(operator, features, weight, bias) as Tensor;
  }
  return linear(features, weight, { bias });
}

export interface MeanCrossEntropyOptions {
  /** Share of every target spread evenly over all classes. Default `0`. */
  readonly labelSmoothing?: number;
}

/**
 * The mean over the batch of `F.crossEntropy`, for training: on a GPU its gradients are first derivatives only.
 *
 * @param logits - shape [batch, classes]
 * @param target - class numbers, int64 of shape [batch], or soft targets, floats shaped like logits
 * @returns 0-d
 * @throws ShapeError if target fits neither way
 */
export function meanCrossEntropy(
  logits: Tensor,
  target: Tensor,
  { labelSmoothing = 0 }: MeanCrossEntropyOptions = {},
): Tensor {
  const operator = 'mamba_prune::cross_entropy';
  const fits =
    isFloat32OnGpu(logits) &&
    logits.ndim === 2 &&
    logits.size(0) > 0 &&
    !target.requiresGrad &&
    (isFloat32OnGpu(target) ? target.ndim === 2 : target.dtype === 'int64' && target.ndim === 1);
  if (fits && hasOperator(operator)) {
    return callOperator(operator, logits, target, labelSmoothing) as Tensor;
  }
  return crossEntropy(logits, target, { labelSmoothing });
}
