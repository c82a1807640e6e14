// What messages call a value where a tensor is expected.
import { Tensor } from '@mamba-prune/libtorch';
import { shown } from './checks.js';

/** A tensor by its shape, anything else as `shown` has it. */
export const shownOrShape = (value: unknown): string =>
  value instanceof Tensor ? `a tensor [${value.shape.join(', ')}]` : shown(value);
