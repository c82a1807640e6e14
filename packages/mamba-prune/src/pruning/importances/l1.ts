// Importance l1: the sum of |w| over the slices of a unit (Li et al. 2017, arXiv 1608.08710).
import type { ImportanceFunction } from '../importances.js';

export const l1: ImportanceFunction = ({ model, sumOf }) => sumOf(model.namedParameters(), 'l1');
