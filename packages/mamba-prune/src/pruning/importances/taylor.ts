// Importance taylor: the sum of |w dL/dw|, the first-order change of the loss if each weight went, with the gradient of
// the mean loss over all images (Molchanov et al. 2019, arXiv 1906.10771, section 3.1, absolute values in place of
// squares).
import { type Tensor, noGrad } from '@mamba-prune/libtorch';
import { free } from '../calibration.js';
import type { ImportanceFunction } from '../importances.js';
import { meanGradients } from '../measure.js';
import { imagesOf, parameterNames } from './context.js';

export const taylor: ImportanceFunction = async (context) => {
  const { model, sumOf } = context;
  const gradients = await meanGradients(model, parameterNames(context), imagesOf(context));
  try {
    const parameters = model.namedParameters();
    noGrad(() => {
      for (const [name, gradient] of gradients) gradient.mul_(parameters.get(name) as Tensor);
    });
    return sumOf(gradients, 'l1');
  } finally {
    free(gradients);
  }
};
