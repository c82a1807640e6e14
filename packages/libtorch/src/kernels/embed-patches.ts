// Patches of images with their positions, as one operator of a GPU.
import { noGrad } from '../autograd.js';
import { callOperator, hasOperator } from '../dispatch.js';
import type { Tensor } from '../tensor.js';
import { copyOf, isLowPrecision } from '../weight-copies.js';

/** Rows of 16 bits are moved 16 bytes at a time. */
const alignment = 8;

/**
 * Whether the operator takes such pixels, of 16 bits on a GPU, which have no gradient, and such a weight.
 * @param pixels - shape [batch, patches, numbers]
 * @param weight - shape [dModel, ...], of as many numbers
 */
export function hasEmbedPatches(pixels: Tensor, weight: Tensor): boolean {
  return (
    pixels.device.startsWith('cuda') &&
    isLowPrecision(pixels.dtype) &&
    !pixels.requiresGrad &&
    weight.size(0) % alignment === 0 &&
    pixels.size(2) % alignment === 0 &&
    hasOperator('mamba_prune::embed_patches')
  );
}

/**
 * pixels weight^T + bias + positions, with a backward pass that reads the gradient at the memory's rate.
 *
 * @param pixels - shape [batch, patches, numbers]
 * @param weight - shape [dModel, ...], float32 like all but the pixels
 * @param bias - shape [dModel]
 * @param positions - shape [1, patches, dModel]
 * @returns shape [batch, patches, dModel], of the type of the pixels
 */
export function embedPatches(
  pixels: Tensor,
  weight: Tensor,
  bias: Tensor,
  positions: Tensor,
): Tensor {
  const copy = noGrad(() => (copyOf(weight, pixels.dtype) ?? weight.to(pixels.dtype)).flatten(1));
  const operands = [pixels, weight.flatten(1), bias, positions, copy];
  return callOperator('mamba_prune::embed_patches', ...operands) as Tensor;
}
