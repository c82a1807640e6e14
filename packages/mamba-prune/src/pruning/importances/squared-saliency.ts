// What fisher and obd have in common: w² times the mean square of the gradient by w.
import { type Tensor, noGrad, scope } from '@mamba-prune/libtorch';
import { free } from '../calibration.js';
import type { ImportanceContext } from '../importances.js';
import { meanSquaredGradients } from '../measure.js';
import { imagesOf, parameterNames } from './context.js';

/**
 * The sum of `factor` w² E[(dL/dw)²] over the slices that count, in float64.
 * @param of - whose loss L is, which E is the mean over: each batch's mean loss, or each image's
 */
export async function squaredSaliency(
  context: ImportanceContext,
  of: 'batch' | 'image',
  factor: number,
): Promise<Map<string, Float64Array>> {
  const { model, sumOf } = context;
  const names = parameterNames(context);
  const squares = await meanSquaredGradients(model, names, imagesOf(context), of);
  try {
    const parameters = model.namedParameters();
    noGrad(() => {
      for (const [name, square] of squares) {
        scope(() => {
          const weight = parameters.get(name) as Tensor;
          square.mul_(weight.detach().to('float64').square()).mul_(factor);
        });
      }
    });
    return sumOf(squares, 'l1');
  } finally {
    free(squares);
  }
}
