// The kernel that makes all that the scans read, which is for inference, against the kernels one by one, which are for training: the
// branch with gradients and without.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { manualSeed, noGrad, randn, scope, zeros } from '@mamba-prune/libtorch';
import * as kernels from '@mamba-prune/libtorch/kernels';
import { distance, gpu, skip } from './support.mjs';

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
function randomBranch({ model, inner, states, rank, taps = 4, directions = 2 }, dtype) {
  const made = (...shape) => randn(shape, { device: gpu }).mul(0.3);
  const [width, rankWidth] = [padded(inner), padded(rank)];
  const inProj = made(2 * inner, model);
  const outProj = made(model, inner);
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
    const xProj = made(rank + 2 * states, inner).mul(0.5);
    const dtProj = made(inner, rank);
    weights.push(
      made(inner, 1, taps),
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

describe('what the scans read, in one kernel', { skip }, () => {
  const cases = {
    'a layer of vim_tiny': { batch: 3, length: 197, model: 192, inner: 384, states: 16, rank: 12 },
    'one of vim_small, without 70%': { length: 50, model: 384, inner: 230, states: 16, rank: 24 },
    'one of vim_base': { length: 21, model: 64, inner: 1536, states: 16, rank: 48 },
    'sizes that no number of a tile divides': {
      batch: 5,
      length: 13,
      model: 24,
      inner: 37,
      states: 5,
      rank: 1,
    },
    'one token': { batch: 9, length: 1, model: 16, inner: 8, states: 1, rank: 3 },
    'one direction': { length: 64, model: 32, inner: 120, states: 16, rank: 12, directions: 1 },
    'two taps': { length: 9, model: 16, inner: 48, states: 8, rank: 8, taps: 2 },
    // Three warpgroups a block in the kernel of normalisation and in_proj.
    'many tokens': { batch: 130, length: 197, model: 192, inner: 24, states: 4, rank: 2 },
    'a d_model of 128': { batch: 140, length: 65, model: 128, inner: 40, states: 8, rank: 8 },
    // Sums of half as many tokens at a time.
    'many states': { length: 33, model: 16, inner: 72, states: 60, rank: 4 },
    // More taps, and more columns, than the kernel takes: the others do it.
    'six taps': { length: 9, model: 16, inner: 48, states: 8, rank: 8, taps: 6 },
    'more columns': { length: 9, model: 16, inner: 48, states: 90, rank: 8 },
  };
  for (const [name, { batch = 2, length, ...sizes }] of Object.entries(cases)) {
    it(`${name}: as the kernels one by one`, () => {
      scope(() => {
        manualSeed(3);
        const norm = { weight: randn([sizes.model], { device: gpu }), eps: 1e-5 };
        const x = randn([batch, length, sizes.model], { device: gpu });
        // Both paths round the same tensors to 16 bits. Their sums in x_proj have another order, which now and then moves a number to
        // its neighbour in 16 bits, 2^-8 or 2^-11 of it away; the rest of the branch takes that along.
        for (const [dtype, most] of [
          ['bfloat16', 4e-3],
          ['float16', 5e-4],
        ]) {
          const { weights, packed } = randomBranch(sizes, dtype);
          const run = () => kernels.ssmBranch(x, norm, { weights, packed }).detach().sub(x);
          const atOnce = noGrad(run);
          weights[0].requiresGrad = true;
          const apart = distance(atOnce, run());
          assert.ok(apart <= most, `${dtype}: ${apart}, expected ${most}`);
        }
      });
    });
  }
});
