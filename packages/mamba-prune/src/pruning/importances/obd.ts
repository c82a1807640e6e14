// Importance obd, Optimal Brain Damage without the Hessian: the sum of 1/2 w² E[(dL/dw)²], where L is the loss of one
// image and E the mean over all images.
//
// LeCun et al. 1990 ("Optimal Brain Damage") expand the loss at a minimum to second order, h w² / 2 for a weight that
// goes, with h the diagonal of the Hessian. For the cross-entropy the Hessian equals the Fisher information where the
// model is right about the labels' distribution; its diagonal is estimated with the images' own labels, the empirical
// Fisher E[g²] (Theis et al. 2018, arXiv 1801.05787, who take g by a mask over a whole channel; here it is by each
// weight, as in LeCun et al., and a unit's weights are added up).
//
// What differs from `fisher`: the square is taken for each image, not for the mean gradient of a batch. At a minimum,
// where gradients of images are independent and average to 0, `fisher` over batches of B images is 2 / B times this, the
// same ranking from fewer passes; away from it the mean gradient prevails in `fisher`, and the spread of the images in
// this. It takes one pass backwards for each image.
import type { ImportanceFunction } from '../importances.js';
import { squaredSaliency } from './squared-saliency.js';

export const obd: ImportanceFunction = (context) => squaredSaliency(context, 'image', 1 / 2);
