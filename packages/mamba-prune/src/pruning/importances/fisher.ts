// Importance fisher: the sum of w² E[(dL/dw)²], where L is the mean loss of a batch and E the mean over the batches, each
// counted by its images (the squared Taylor criterion of Molchanov et al. 2019, arXiv 1906.10771, section 3.1, which
// averages over batches too). Unlike `taylor` it does not let gradients of opposite signs in different batches cancel
// each other; within a batch they do. So it depends on how the images are cut into batches; `obd` does not.
import type { ImportanceFunction } from '../importances.js';
import { squaredSaliency } from './squared-saliency.js';

export const fisher: ImportanceFunction = (context) => squaredSaliency(context, 'batch', 1);
