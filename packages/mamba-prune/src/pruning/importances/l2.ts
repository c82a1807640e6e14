// Importance l2: the square root of the sum of w² over each slice of a unit.
import type { ImportanceFunction } from '../importances.js';

export const l2: ImportanceFunction = ({ model, sumOf }) => sumOf(model.namedParameters(), 'l2');
