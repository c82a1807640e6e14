// The scan with its products in the tensor cores, which is that of inference in bfloat16: a branch of one and of two directions without
// gradients, against the same branch in float32, whose scan is another kernel.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { manualSeed, noGrad, randn, scope, tensor } from '@mamba-prune/libtorch';
import * as kernels from '@mamba-prune/libtorch/kernels';
import { randomBranch } from './random-branch.mjs';
import { distance, gpu, skip } from './support.mjs';

/** What a branch adds to x: as bfloat16 computes it, and float32 with the same weights. */
function inBoth({ batch, length, factor, ...sizes }) {
  manualSeed(7);
  const { weights, packed } = randomBranch(sizes, 'bfloat16');
  const norm = { weight: randn([sizes.model], { device: gpu }), eps: 1e-5 };
  const x = randn([batch, length, sizes.model], { device: gpu });
  const scale = factor && tensor(Array(batch).fill(factor), { dtype: 'float32', device: gpu });
  const run = (of) =>
    noGrad(() => kernels.ssmBranch(x, norm, { weights, packed: of }, scale).sub(x));
  return { got: run(packed), expected: run(packed.map((weight) => weight.to('float32'))) };
}

describe('a scan in the tensor cores', { skip }, () => {
  const tiny = { model: 192, inner: 384, states: 16, rank: 12 };
  const cases = {
    'of vim_tiny': { ...tiny, batch: 3, length: 197 },
    'of one direction': { ...tiny, batch: 3, length: 197, directions: 1 },
    'with a factor': { ...tiny, batch: 2, length: 64, factor: 0.5 },
    // So many sequences that a lane has two channels, and four.
    'of two channels a lane': { ...tiny, batch: 30, length: 21 },
    'of four channels a lane': { ...tiny, batch: 64, length: 21 },
    'of four channels a lane, in one direction': { ...tiny, batch: 128, length: 21, directions: 1 },
    // 115 and 9 channels are 120 and 16 with their padding, which is less than the last warp has.
    'with 70% of the channels removed': { ...tiny, inner: 115, batch: 128, length: 21 },
    'of nine channels': { ...tiny, inner: 9, batch: 2, length: 30 },
    // Three and one eights of numbers make a step size, and so many that another kernel makes them.
    'of rank 24': { ...tiny, rank: 24, batch: 2, length: 30 },
    'of rank 3': { ...tiny, rank: 3, batch: 2, length: 30 },
    'of rank 40': { ...tiny, rank: 40, batch: 2, length: 30 },
  };
  // The halves that the directions begin with are whole turns of four steps for the one that begins at the first token.
  for (let length = 1; length <= 17; length++)
    cases[`of ${length} tokens`] = { ...tiny, inner: 40, batch: 2, length };
  for (const [name, sizes] of Object.entries(cases)) {
    it(`${name} gives what float32 does`, () => {
      scope(() => {
        const { got, expected } = inBoth(sizes);
        // Five tensors on the way are rounded to bfloat16, to 2^-9 each, of which one is multiplied by itself.
        const apart = distance(got, expected);
        assert.ok(apart <= 1.5e-2, `${apart}, expected 0.015`);
        // Of every token: one that is missing or counted twice is no small part of its own row.
        for (let t = 0; t < sizes.length; t++) {
          const at = distance(got.select(1, t), expected.select(1, t));
          assert.ok(at <= 4e-2, `token ${t}: ${at}, expected 0.04`);
        }
      });
    });
  }

  it('is the same each time', () => {
    scope(() => {
      const [one, other] = [1, 2].map(() => inBoth({ ...tiny, batch: 64, length: 197 }).got);
      assert.equal(one.sub(other).abs().max().item(), 0);
    });
  });
});
