// The mean of normalised tokens as one operator on a GPU against the same in float64 on the CPU: results and gradients.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { manualSeed, randn, scope } from '@mamba-prune/libtorch';
import { normMean } from '@mamba-prune/libtorch/kernels';
import { distance, gpu, skip } from './support.mjs';

// bfloat16: x and its gradient are rounded to 2^-9; what is between them is float32.
const tolerances = { float32: 3e-6, bfloat16: 1e-2 };

function evaluate([x, weight, bias, gradient], device, dtypeOf) {
  const [a, b, c] = [x, weight, bias].map((tensor, i) => {
    const input = tensor.to(dtypeOf(i)).to(device).detach();
    input.requiresGrad = true;
    return input;
  });
  const mean = normMean(a, { weight: b, bias: c, eps: 1e-5 });
  mean.mul(gradient.to(mean.dtype).to(device)).sum().backward();
  return new Map(Object.entries({ mean, x: a.grad, weight: b.grad, bias: c.grad }));
}

describe('the mean of normalised tokens on a GPU', { skip }, () => {
  // Fewer tokens than warps, tokens that are not whole rounds of them, odd widths.
  const sizes = [
    [3, 64, 192],
    [5, 1, 128],
    [2, 17, 40],
    [300, 65, 33],
  ];
  for (const [batch, length, channels] of sizes) {
    it(`of ${batch} x ${length} tokens of ${channels} gives the values and gradients of float64, and again`, () => {
      scope(() => {
        manualSeed(5);
        const shapes = [[batch, length, channels], [channels], [channels], [batch, channels]];
        const given = shapes.map((shape) => randn(shape));
        // What is rounded first is given so to both.
        for (const [dtype, tolerance] of Object.entries(tolerances)) {
          const rounded = given.map((tensor, i) => (i === 0 ? tensor.to(dtype) : tensor));
          const expected = evaluate(rounded, 'cpu', () => 'float64');
          const typeOf = (i) => (i === 0 ? dtype : 'float32');
          const [first, again] = [0, 1].map(() => evaluate(rounded, gpu, typeOf));
          for (const [what, tensor] of expected) {
            const apart = distance(first.get(what), tensor);
            assert.ok(apart <= tolerance, `${dtype}, ${what}: ${apart}, expected ${tolerance}`);
            assert.equal(distance(again.get(what), first.get(what)), 0, `${dtype}, ${what} again`);
          }
        }
      });
    });
  }
});
