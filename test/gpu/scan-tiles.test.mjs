// The scan with its products in the tensor cores, which is that of bfloat16: a branch of one and of two directions, without gradients and
// with them, against the same branch in float32, whose scan is another kernel.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { manualSeed, noGrad, randn, scope, tensor } from '@mamba-prune/libtorch';
import * as kernels from '@mamba-prune/libtorch/kernels';
import { randomBranch } from './random-branch.mjs';
import { distance, gpu, skip } from './support.mjs';

/** Weights of a branch; its states decay exp(steeper) times as fast as they would. */
function branchOf(sizes, steeper = 0) {
  const { weights, packed } = randomBranch(sizes, 'bfloat16');
  // A_log is the sixth of a direction's seven, behind two of both.
  for (let i = 7; i < weights.length; i += 7) weights[i] = weights[i].add(steeper);
  return { weights, packed };
}

/** What a branch adds to x: as bfloat16 computes it, and float32 with the same weights. */
function inBoth({ batch, length, factor, steeper, ...sizes }) {
  manualSeed(7);
  const { weights, packed } = branchOf(sizes, steeper);
  const norm = { weight: randn([sizes.model], { device: gpu }), eps: 1e-5 };
  const x = randn([batch, length, sizes.model], { device: gpu });
  const scale = factor && tensor(Array(batch).fill(factor), { dtype: 'float32', device: gpu });
  const run = (of) =>
    noGrad(() => kernels.ssmBranch(x, norm, { weights, packed: of }, scale).sub(x));
  return { got: run(packed), expected: run(packed.map((weight) => weight.to('float32'))) };
}

/** What a branch adds to x, then the gradients of x and of all weights: as bfloat16 computes them, and float32 with the same weights. */
function trainedInBoth({ batch, length, factor, steeper, ...sizes }) {
  manualSeed(7);
  const { weights, packed } = branchOf(sizes, steeper);
  const norm = { weight: randn([sizes.model], { device: gpu }), eps: 1e-5 };
  const x = randn([batch, length, sizes.model], { device: gpu });
  const scale = factor && tensor(Array(batch).fill(factor), { dtype: 'float32', device: gpu });
  const direction = randn([batch, length, sizes.model], { device: gpu });
  const run = (of) => {
    const [given, ...own] = [x, norm.weight, ...weights].map((input) => input.detach());
    for (const input of [given, ...own]) input.requiresGrad = true;
    const [weight, ...others] = own;
    const branch = { weights: others, packed: of };
    const added = kernels.ssmBranch(given, { ...norm, weight }, branch, scale).sub(given);
    added.mul(direction).sum().backward();
    return [added.detach(), ...[given, ...own].map(({ grad }) => grad)];
  };
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
    // In one direction the convolution multiplies by x_proj, 64 channels a warp, and its backward pass does, too: of 115 and 9
    // channels the last warp has a part, 700 are eleven warps, and 800 more than it takes.
    'with 70% of the channels removed, in one direction': {
      ...{ ...tiny, inner: 115, batch: 128, length: 21, directions: 1 },
    },
    'of nine channels, in one direction': {
      ...tiny,
      inner: 9,
      batch: 2,
      length: 30,
      directions: 1,
    },
    'of 700 channels, in one direction': {
      ...tiny,
      inner: 700,
      batch: 2,
      length: 37,
      directions: 1,
    },
    'of 800 channels, in one direction': {
      ...tiny,
      inner: 800,
      batch: 2,
      length: 37,
      directions: 1,
    },
    'of rank 24, in one direction': { ...tiny, rank: 24, batch: 2, length: 30, directions: 1 },
    // Three and one eights of numbers make a step size, and so many that another kernel makes them.
    'of rank 24': { ...tiny, rank: 24, batch: 2, length: 30 },
    'of rank 3': { ...tiny, rank: 3, batch: 2, length: 30 },
    'of rank 40': { ...tiny, rank: 40, batch: 2, length: 30 },
  };
  // The halves that the directions begin with are whole turns of four steps for the one that begins at the first token.
  // A tile of the convolution is 16 tokens, of its backward pass eight at a time.
  for (let length = 1; length <= 17; length++) {
    cases[`of ${length} tokens`] = { ...tiny, inner: 40, batch: 2, length };
    cases[`of ${length} tokens, in one direction`] = {
      ...{ ...tiny, inner: 40, batch: 2, length, directions: 1 },
    };
  }
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

  // Checkpoints lie every 8 steps; a block of threads has one sequence, or several.
  const trained = {
    ...cases,
    'of several sequences a block': { ...tiny, inner: 64, batch: 1100, length: 19 },
    'of several sequences a block, in one direction': {
      ...{ ...tiny, inner: 64, batch: 1100, length: 64, directions: 1 },
    },
    'of several sequences a block, with a factor': {
      ...{ ...tiny, inner: 24, batch: 2000, length: 11, factor: 0.5 },
    },
  };
  for (const [name, sizes] of Object.entries(trained)) {
    it(`${name} leaves for the gradients what they need`, () => {
      scope(() => {
        const { got, expected } = trainedInBoth(sizes);
        // As above, and gradients are rounded on their way, too. A state that is missing changes some of them as a whole.
        got.forEach((tensor, i) => {
          const [apart, most] = [distance(tensor, expected[i]), i === 0 ? 2e-2 : 6e-2];
          assert.ok(apart <= most, `number ${i}: ${apart}, expected ${most}`);
        });
        for (const i of [0, 1]) {
          for (let t = 0; t < sizes.length; t++) {
            const at = distance(got[i].select(1, t), expected[i].select(1, t));
            assert.ok(at <= 6e-2, `number ${i}, token ${t}: ${at}, expected 0.06`);
          }
        }
      });
    });
  }

  it('takes factors that no float32 holds', () => {
    scope(() => {
      // Most exponents are between -60 and -300 in base 2.
      const steep = { ...tiny, batch: 64, length: 21, steeper: 5 };
      for (const { got, expected } of [inBoth(steep), trainedInBoth(steep)]) {
        const [y, ...gradients] = [got].flat();
        const apart = distance(y, [expected].flat()[0]);
        assert.ok(apart <= 2e-2, `${apart}, expected 0.02`);
        // Of factors that are nearly nothing the gradients are, too, but none of them is no number.
        gradients.forEach((tensor, i) => {
          assert.ok(tensor.abs().max().item() < Infinity, `number ${i + 1} is not finite`);
        });
      }
    });
  });

  it('leaves the same each time', () => {
    scope(() => {
      const sizes = { ...tiny, batch: 512, length: 21 };
      const [one, other] = [1, 2].map(() => trainedInBoth(sizes).got);
      one.forEach((tensor, i) => {
        assert.equal(tensor.sub(other[i]).abs().max().item(), 0, `number ${i}`);
      });
    });
  });

  it('is the same each time', () => {
    scope(() => {
      const [one, other] = [1, 2].map(() => inBoth({ ...tiny, batch: 64, length: 197 }).got);
      assert.equal(one.sub(other).abs().max().item(), 0);
    });
  });
});
