// in_proj with its normalisation, and x_proj with dt_proj, forward and back, which are kernels of their own in 16 bits on Hopper, against the
// branch in float32, which goes kernel by kernel.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { manualSeed, randn, scope } from '@mamba-prune/libtorch';
import { ssmBranch } from '@mamba-prune/libtorch/kernels';
import { distance, gpu, skip } from './support.mjs';

const names = ['result', 'x', 'normWeight', 'normBias', 'inProj', 'outProj', 'xProj', 'dtProj'];

function makeInputs(batch, length, model, inner) {
  manualSeed(5);
  const made = (...shape) => randn(shape, { device: gpu }).mul(0.3);
  const [states, rank] = [16, 16];
  return {
    x: randn([batch, length, model], { device: gpu }).to('bfloat16'),
    norm: { weight: made(model).add(1), bias: made(model), eps: 1e-5 },
    weights: [
      ...[made(2 * inner, model).div(3), made(model, inner).div(3), made(inner, 1, 4), made(inner)],
      ...[made(rank + 2 * states, inner).div(6), made(inner, rank), made(inner)],
      ...[made(inner, states), made(inner)],
    ],
    gradient: randn([batch, length, model], { device: gpu }).to('bfloat16'),
  };
}

function trained({ x, norm, weights, gradient }, dtype) {
  const leaf = (tensor) => {
    const own = tensor.clone().detach();
    own.requiresGrad = true;
    return own;
  };
  const [input, weight, bias, ...own] = [x.to(dtype), norm.weight, norm.bias, ...weights].map(leaf);
  const packed = [0, 1, 4, 5].map((i) => weights[i].to(dtype));
  const out = ssmBranch(input, { ...norm, weight, bias }, { weights: own, packed });
  out.backward(gradient.to(dtype));
  const asked = [input, weight, bias, own[0], own[1], own[4], own[5]];
  return [out, ...asked.map(({ grad }) => grad)];
}

describe('in_proj, x_proj and dt_proj in training on a GPU', { skip }, () => {
  // Up to 132 tiles of 64 rows a block has one of them. Beyond that it has two, and so many tiles of two that the blocks of a cluster, which
  // share their weights, have different numbers of them: 67, 68 and 153, the last of which is not full.
  for (const [batch, length, model, inner] of [
    [3, 17, 192, 104],
    [125, 68, 192, 104],
    [133, 65, 128, 72],
    [300, 65, 192, 384],
  ])
    it(`of ${batch} x ${length} tokens of ${model} with ${inner} channels gives the gradients of float32, and the same again`, () => {
      scope(() => {
        const inputs = makeInputs(batch, length, model, inner);
        const expected = trained(inputs, 'float32');
        const [first, again] = [trained(inputs, 'bfloat16'), trained(inputs, 'bfloat16')];
        for (const [i, name] of names.entries()) {
          const apart = distance(first[i], expected[i]);
          assert.ok(apart <= 0.05, `${name}: ${apart}, expected 0.05`);
          assert.equal(distance(again[i], first[i]), 0, `${name} again`);
        }
      });
    });
});
