// Images as sequences of patches.
import { F, type nn, type Tensor } from '@mamba-prune/libtorch';
import * as kernels from '@mamba-prune/libtorch/kernels';

/**
 * A convolution of patches, as a sequence.
 * @param images - shape [batch, channels, height, width], in which the patches leave nothing out
 * @returns shape [batch, patches, dModel], patches row by row
 */
export function embedPatches(images: Tensor, embedding: nn.Conv2d): Tensor {
  // On a GPU a product over rearranged pixels is faster, and its result is contiguous; patches that overlap have none.
  const apart = embedding.stride === embedding.kernelSize[0];
  if (apart && images.device.startsWith('cuda')) return embedByProduct(images, embedding);
  return embedding.forward(images).flatten(2).transpose(1, 2);
}

/** The same with an embedding of their positions added. @param positions - shape [1, patches, dModel] */
export function embedWithPositions(
  images: Tensor,
  embedding: nn.Conv2d,
  positions: Tensor,
): Tensor {
  const { weight, bias, stride, kernelSize } = embedding;
  if (bias && stride === kernelSize[0] && images.device.startsWith('cuda')) {
    const pixels = pixelsOf(images, stride);
    if (kernels.hasEmbedPatches(pixels, weight)) {
      return kernels.embedPatches(pixels, weight, bias, positions);
    }
  }
  const patches = embedPatches(images, embedding);
  return patches.add(F.weightFor(positions, patches.dtype));
}

/** The same as a matrix product: patches do not overlap. */
export function embedByProduct(images: Tensor, { weight, bias, kernelSize }: nn.Conv2d): Tensor {
  const pixels = pixelsOf(images, kernelSize[0] ?? 1);
  const matrix = F.weightFor(weight, images.dtype).flatten(1);
  return F.linear(pixels, matrix, { bias });
}

/** The numbers of each patch of p x p pixels, shape [batch, patches, channels * p * p]. */
function pixelsOf(images: Tensor, p: number): Tensor {
  const [batch = 0, channels = 0, height = 0, width = 0] = images.shape;
  const [rows, columns] = [height / p, width / p];
  return images
    .reshape(batch, channels, rows, p, columns, p)
    .permute(0, 2, 4, 1, 3, 5)
    .reshape(batch, rows * columns, channels * p * p);
}
