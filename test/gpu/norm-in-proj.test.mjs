// RMSNorm and in_proj in one kernel, which is for inference, against one after the other, which is for training: the branch of a Vim
// without gradients and with them.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { manualSeed, noGrad, randn, scope } from '@mamba-prune/libtorch';
import * as kernels from '@mamba-prune/libtorch/kernels';
import { randomBranch } from './random-branch.mjs';
import { distance, gpu, skip } from './support.mjs';

describe('a branch without gradients', { skip }, () => {
  const cases = {
    // Fewer tokens than there are multiprocessors times 64, and so many that three warpgroups share the weights.
    'of vim_tiny': { batch: 3, length: 197, model: 192, inner: 384, states: 16, rank: 12 },
    'of many tokens': { batch: 128, length: 197, model: 192, inner: 24, states: 16, rank: 12 },
    // Two warpgroups, and tokens and columns that fill no tile.
    'of a d_model of 128': { batch: 140, length: 65, model: 128, inner: 37, states: 16, rank: 12 },
    // No kernel for it: the normalisation and the product are one after the other in both.
    'of another d_model': { batch: 2, length: 9, model: 48, inner: 40, states: 16, rank: 12 },
  };
  for (const [name, { batch, length, ...sizes }] of Object.entries(cases)) {
    it(`${name} is as with them`, () => {
      scope(() => {
        manualSeed(3);
        const norm = { weight: randn([sizes.model], { device: gpu }), eps: 1e-5 };
        const x = randn([batch, length, sizes.model], { device: gpu });
        // Both round the same tensors to 16 bits. Their sums have another order, which now and then moves a number to its neighbour in
        // 16 bits, 2^-8 or 2^-11 of it away; the rest of the branch takes that along. In bfloat16 the scan is another kernel too, which
        // does not round the step sizes: its result, rounded to 2^-9 as the other's is, has roundings of its own.
        for (const [dtype, most] of [
          ['bfloat16', 8e-3],
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
