// The tokens of a sequence in another order.
import { callOperator } from '../dispatch.js';
import { ShapeError } from '../errors.js';
import type { Tensor } from '../tensor.js';

/** From the last to the first, or column by column where it was row by row (of a square grid), and back. */
export type TokenOrder = 'reversed' | 'transposed';

/** @param x - shape [batch, length, features]; for `transposed` the length must be a square */
export function reorderTokens(x: Tensor, order: TokenOrder): Tensor {
  return callOperator('mamba_prune::reorder_tokens', x, sideOf(order, x.shape[1] ?? 0)) as Tensor;
}

/** How the operators are told: the side of the grid, 0 for reversing. */
export function sideOf(order: TokenOrder, length: number): number {
  if (order === 'reversed') return 0;
  const side = Math.round(Math.sqrt(length));
  if (side * side === length && length > 0) return side;
  throw new ShapeError(
    `reorderTokens: got ${length} tokens to transpose, expected the number of a square grid, such as 64.`,
  );
}
