// Patches with their positions as one operator on a GPU against the same in float64 on the CPU: results and gradients.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { manualSeed, randn, scope } from '@mamba-prune/libtorch';
import { embedPatches, hasEmbedPatches } from '@mamba-prune/libtorch/kernels';
import { distance, gpu, skip } from './support.mjs';

// What is multiplied is rounded to 2^-9 for both; the result is, once more with its positions.
const tolerance = 1e-2;

function evaluate([pixels, weight, bias, positions, gradient], compute) {
  const parameters = [weight, bias, positions].map((tensor) => {
    const input = tensor.detach();
    input.requiresGrad = true;
    return input;
  });
  const result = compute(pixels, ...parameters);
  result.mul(gradient.to(result.dtype)).sum().backward();
  return new Map(
    ['result', 'weight', 'bias', 'positions'].map((name, i) => [
      name,
      i === 0 ? result : parameters[i - 1].grad,
    ]),
  );
}

describe('the embedding of patches on a GPU', { skip }, () => {
  for (const [batch, length, numbers, channels] of [
    [70, 64, 48, 192],
    [1, 1, 8, 8],
    [3, 196, 768, 200],
  ]) {
    it(`of ${batch} x ${length} patches of ${numbers} to ${channels} gives what float64 gives, and again`, () => {
      scope(() => {
        manualSeed(6);
        const shapes = [
          [batch, length, numbers],
          [channels, numbers],
          [channels],
          [1, length, channels],
        ];
        const all = [...shapes, [batch, length, channels]].map((shape) => randn(shape));
        // Pixels, weight and gradient as the operator has them.
        const given = all.map((tensor, i) =>
          [0, 1, 4].includes(i) ? tensor.to('bfloat16') : tensor,
        );
        const expected = evaluate(
          given.map((tensor) => tensor.to('float64')),
          (x, weight, bias, at) => x.matmul(weight.transpose(0, 1)).add(bias).add(at),
        );
        const onGpu = given.map((tensor, i) => (i === 0 ? tensor : tensor.to('float32')).to(gpu));
        assert.ok(hasEmbedPatches(onGpu[0], onGpu[1]));
        const [first, again] = [0, 1].map(() => evaluate(onGpu, embedPatches));
        for (const [what, tensor] of expected) {
          const apart = distance(first.get(what), tensor);
          assert.ok(apart <= tolerance, `${what}: ${apart}, expected ${tolerance}`);
          assert.equal(distance(again.get(what), first.get(what)), 0, `${what} again`);
        }
      });
    });
  }
});
