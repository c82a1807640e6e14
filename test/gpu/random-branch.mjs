// Weights of a branch for the tests that call `ssmBranch` itself.
import { randn, zeros } from '@mamba-prune/libtorch';
import { gpu } from './support.mjs';

const padded = (size) => Math.ceil(size / 8) * 8;

/** A matrix of zeros with others in it, each at a row of its own. */
function within(rows, columns, dtype, ...parts) {
  const whole = zeros([rows, columns], { device: gpu, dtype });
  for (const [part, at] of parts) {
    const [height, width] = part.shape;
    whole.narrow(0, at, height).narrow(1, 0, width).copy_(part);
  }
  return whole;
}

/** Weights of a branch in float32, and packed as `packSsm` does. */
export function randomBranch({ model, inner, states, rank, directions = 2 }, dtype) {
  // Such that no number comes near 65,504, the largest of float16: the scan multiplies B, C, u and the step size.
  const made = (...shape) => randn(shape, { device: gpu }).mul(0.3);
  const [width, rankWidth] = [padded(inner), padded(rank)];
  const inProj = made(2 * inner, model).div(3);
  const outProj = made(model, inner).div(3);
  const weights = [inProj, outProj];
  const packed = [
    within(
      2 * width,
      model,
      dtype,
      [inProj.narrow(0, 0, inner), 0],
      [inProj.narrow(0, inner, inner), width],
    ),
    within(model, width, dtype, [outProj, 0]),
  ];
  for (let i = 0; i < directions; i++) {
    const xProj = made(rank + 2 * states, inner).div(6);
    const dtProj = made(inner, rank);
    weights.push(
      made(inner, 1, 4),
      made(inner),
      xProj,
      dtProj,
      made(inner),
      made(inner, states),
      made(inner),
    );
    packed.push(
      within(
        ...[padded(rankWidth + 2 * states), width, dtype],
        ...[
          [xProj.narrow(0, 0, rank), 0],
          [xProj.narrow(0, rank, 2 * states), rankWidth],
        ],
      ),
      within(width, rankWidth, dtype, [dtProj, 0]),
    );
  }
  return { weights, packed };
}
