// Convolutions of images as `convBlock` computes them: the form that is fastest for a size, and the weights for it.
import type { Tensor } from '../tensor.js';
import { tensor } from '../factories.js';
import { packWeights } from './inference-blocks.js';

/**
 * Side of the squares that Winograd's minimal algorithm computes at once (Lavin and Gray 2016, arXiv 1509.09308):
 * 2.25 times fewer multiplications for 2, 4 times for 4. 0 is the convolution as it is defined.
 */
export type ConvolutionForm = 0 | 2 | 4;

/** G of the paper's section 4.1, for the interpolation points 0, 1, -1 (, 2, -2) and infinity. */
const transforms: Readonly<Record<2 | 4, number[][]>> = {
  2: [
    [1, 0, 0],
    [1 / 2, 1 / 2, 1 / 2],
    [1 / 2, -1 / 2, 1 / 2],
    [0, 0, 1],
  ],
  4: [
    [1 / 4, 0, 0],
    [-1 / 6, -1 / 6, -1 / 6],
    [-1 / 6, 1 / 6, -1 / 6],
    [1 / 24, 1 / 12, 1 / 6],
    [1 / 24, -1 / 12, 1 / 6],
    [0, 0, 1],
  ],
};

/**
 * @param weight - shape [out, in, kernel, kernel]; Winograd's forms need a kernel of 3
 * @returns the same weights as `convBlock` takes them
 */
export function packConvolution(weight: Tensor, form: ConvolutionForm): Tensor {
  const [out, channels, kernel] = weight.shape as [number, number, number];
  if (form === 0) {
    const columns = weight.permute(0, 2, 3, 1).reshape(1, out, kernel * kernel * channels);
    return packWeights(columns.to('float32'));
  }
  const g = tensor(transforms[form], { dtype: weight.dtype });
  const transformed = g.matmul(weight).matmul(g.t()).permute(2, 3, 0, 1);
  return packWeights(transformed.reshape((form + 2) ** 2, out, channels).to('float32'));
}
