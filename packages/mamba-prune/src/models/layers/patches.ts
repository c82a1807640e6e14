// Images as sequences of patches.
import { F, type nn, type Tensor } from '@mamba-prune/libtorch';

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

/** The same as a matrix product: patches do not overlap. */
export function embedByProduct(images: Tensor, { weight, bias, kernelSize }: nn.Conv2d): Tensor {
  const [batch = 0, channels = 0, height = 0, width = 0] = images.shape;
  const [p = 1] = kernelSize;
  const [rows, columns] = [height / p, width / p];
  const pixels = images
    .reshape(batch, channels, rows, p, columns, p)
    .permute(0, 2, 4, 1, 3, 5)
    .reshape(batch, rows * columns, channels * p * p);
  const matrix = F.weightFor(weight, images.dtype).flatten(1);
  return F.linear(pixels, matrix, { bias });
}
