import { describe, expect, it } from 'vitest';
import { TorchError, noGrad, randn, scope, zeros } from '../index.js';
import * as kernels from './index.js';
import { type BlockCase, blockCases, blockInputs } from './testing/compare-block.js';

describe('mambaBlock', () => {
  const small = blockCases[1] as BlockCase;

  it('refuses tensors that require gradients while these are recorded', () => {
    scope(() => {
      const { x, weights } = blockInputs(small);
      weights.inProj.requiresGrad = true;
      expect(() => kernels.mambaBlock(x, weights, 1e-5)).toThrow(
        /mamba_block: got tensors that require/,
      );
      expect(noGrad(() => kernels.mambaBlock(x, weights, 1e-5)).shape).toEqual(x.shape);
    });
  });

  it('names the parameter whose shape does not fit', () => {
    scope(() => {
      const { x, weights } = blockInputs(small);
      const wrong = { ...weights, outProj: randn([4, 3]) };
      expect(() => kernels.mambaBlock(x, wrong, 1e-5)).toThrow(TorchError);
      expect(() => kernels.mambaBlock(x, wrong, 1e-5)).toThrow(
        /got out_proj of shape \[4, 3\].*\[5, 3\]/,
      );
      expect(() => kernels.mambaBlock(x.to('float64'), weights, 1e-5)).toThrow(/expected float32/);
      expect(() => kernels.mambaBlock(x.select(0, 0), weights, 1e-5)).toThrow(
        /\[batch, length, d_model\]/,
      );
    });
  });

  it('gives an empty batch back as it came', () => {
    scope(() => {
      const { weights } = blockInputs(small);
      expect(kernels.mambaBlock(zeros([0, 7, 5]), weights, 1e-5).shape).toEqual([0, 7, 5]);
    });
  });
});
