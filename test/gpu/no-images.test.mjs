// A batch of no images on a GPU: the products of the backward pass have nothing to sum over, and gradients of weights are zeros.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { full, ones, randn, scope } from '@mamba-prune/libtorch';
import { mlpBranch, ssmBranch } from '@mamba-prune/libtorch/kernels';
import { gpu, skip } from './support.mjs';

const made = (...shape) => randn(shape, { device: gpu });

/** What was there before must not be taken for a gradient. */
function leaveNumbersInMemory() {
  scope(() => {
    for (let size = 64; size <= 2 ** 20; size *= 2) full([size], NaN, { device: gpu });
  });
}

function checkGradients(dtype, model, weights, matrices, branch) {
  for (const weight of weights) weight.requiresGrad = true;
  const norm = { weight: ones([model], { device: gpu }), bias: made(model), eps: 1e-5 };
  const x = made(0, 17, model).to(dtype);
  const packed = matrices.map((i) => weights[i].detach().to(dtype));
  leaveNumbersInMemory();
  const out = branch(x, norm, { weights, packed });
  assert.deepEqual(out.shape, [0, 17, model]);
  out.sum().backward();
  for (const [i, { grad }] of weights.entries()) {
    assert.equal(grad.abs().sum().item(), 0, `gradient ${i}`);
  }
}

describe('a batch of no images on a GPU', { skip }, () => {
  // 128 and 192 have kernels of their own for training in 16 bits on Hopper.
  for (const model of [48, 128, 192]) {
    for (const dtype of ['float32', 'bfloat16']) {
      it(`gives gradients of zeros in the MLP branch of ${model} in ${dtype}`, () => {
        scope(() => {
          const weights = [made(64, model), made(64), made(model, 64), made(model)];
          checkGradients(dtype, model, weights, [0, 1, 2, 3], mlpBranch);
        });
      });

      it(`gives gradients of zeros in the SSM branch of ${model} in ${dtype}`, () => {
        scope(() => {
          const [inner, states, rank] = [64, 16, 8];
          const weights = [
            ...[made(2 * inner, model), made(model, inner), made(inner, 1, 4), made(inner)],
            ...[made(rank + 2 * states, inner), made(inner, rank), made(inner)],
            ...[made(inner, states), made(inner)],
          ];
          checkGradients(dtype, model, weights, [0, 1, 4, 5], ssmBranch);
        });
      });
    }
  }
});
