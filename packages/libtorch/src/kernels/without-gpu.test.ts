// What the operators of a GPU leave to others on a CPU; test/gpu has what they compute.
import { describe, expect, it } from 'vitest';
import { F, manualSeed, randn, scope } from '../index.js';
import { hasEmbedPatches, makeBranchUnits, normMean, packBranchUnits } from './index.js';

describe('operators of a GPU, on a CPU', () => {
  it('the mean of normalised tokens is that of its two parts, bit for bit', () => {
    scope(() => {
      manualSeed(1);
      const [x, weight, bias] = [randn([2, 5, 12]), randn([12]), randn([12])];
      const parts = F.meanFloat32(F.layerNorm(x, [12], { weight, bias, eps: 1e-3 }), 1);
      expect(normMean(x, { weight, bias, eps: 1e-3 }).toNumbers()).toEqual(parts.toNumbers());
      const plain = F.meanFloat32(F.layerNorm(x, [12], { eps: 1e-3 }), 1);
      expect(normMean(x, { weight: null, eps: 1e-3 }).toNumbers()).toEqual(plain.toNumbers());
    });
  });

  it('there are no units of branches, and none are packed', () => {
    scope(() => {
      const matrices = [randn([16, 8]), randn([16, 8]), randn([8, 8])];
      expect(makeBranchUnits(matrices, matrices, 4)).toBeUndefined();
      expect(() => {
        packBranchUnits([]);
      }).not.toThrow();
    });
  });

  it('patches are embedded by other operators', () => {
    scope(() => {
      expect(hasEmbedPatches(randn([1, 4, 8]).to('bfloat16'), randn([8, 8]))).toBe(false);
    });
  });
});
