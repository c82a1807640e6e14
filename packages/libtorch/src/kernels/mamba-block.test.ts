import { describe, expect, it } from 'vitest';
import {
  TorchError,
  getNumThreads,
  manualSeed,
  noGrad,
  randn,
  scope,
  setNumThreads,
  zeros,
} from '../index.js';
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

  it('takes its matrices in panels too, with the same result in any number of threads', () => {
    const before = getNumThreads();
    manualSeed(1);
    scope(() => {
      // More samples than threads, one, and panels that are not full.
      for (const test of [blockCases[2], blockCases[3], blockCases[5]] as BlockCase[]) {
        const { x, weights } = blockInputs(test);
        const packed = { ...weights };
        for (const name of ['inProj', 'xProj', 'outProj', 'fc1Weight', 'fc2Weight'] as const) {
          packed[name] = kernels.packWeights(weights[name].unsqueeze(0));
        }
        const expected = kernels.mambaBlock(x, weights, 1e-5);
        for (const threads of [1, 2, 3, 7]) {
          setNumThreads(threads);
          expect(kernels.mambaBlock(x, packed, 1e-5).equal(expected)).toBe(true);
          expect(kernels.mambaBlock(x, weights, 1e-5).equal(expected)).toBe(true);
        }
        const wrong = { ...packed, fc1Weight: packed.xProj };
        expect(() => kernels.mambaBlock(x, wrong, 1e-5)).toThrow(/got fc1_weight .*pack_weights/);
      }
    });
    setNumThreads(before);
  });

  it('gives an empty batch back as it came', () => {
    scope(() => {
      const { weights } = blockInputs(small);
      expect(kernels.mambaBlock(zeros([0, 7, 5]), weights, 1e-5).shape).toEqual([0, 7, 5]);
    });
  });
});
