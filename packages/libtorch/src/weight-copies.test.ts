import { describe, expect, it } from 'vitest';
import { F, WeightCopies, callOperator, copyOf, noGrad, scope, tensor, zeros } from './index.js';

describe('WeightCopies', () => {
  it('stand in for their parameters, whose gradients are those of the product, in float32', () => {
    scope(() => {
      // None of these has more than 8 bits of fraction, so bfloat16 is exact.
      const weight = tensor(
        [
          [1, -2],
          [0.5, 3],
        ],
        { requiresGrad: true },
      );
      const bias = tensor([0.25, -1], { requiresGrad: true });
      const copies = new WeightCopies([weight, bias], 'bfloat16');
      const x = tensor([[2, 1]], { dtype: 'bfloat16' });
      const y = F.linear(x, weight, { bias });
      expect([y.dtype, y.toArray()]).toEqual(['bfloat16', [[0.25, 3]]]);
      y.to('float32')
        .mul(tensor([[1, 10]]))
        .sum()
        .backward();
      expect(weight.grad?.dtype).toBe('float32');
      expect(weight.grad?.toArray()).toEqual([
        [2, 1],
        [20, 10],
      ]);
      expect(bias.grad?.toArray()).toEqual([1, 10]);
      copies.dispose();
    });
  });

  it('leave those of before in place when they are disposed, in any order', () => {
    scope(() => {
      const weight = tensor([1, 2], { requiresGrad: true });
      const first = new WeightCopies([weight], 'bfloat16');
      const second = new WeightCopies([weight], 'bfloat16');
      noGrad(() => weight.add_(1));
      first.refresh();
      expect(copyOf(weight, 'bfloat16')?.toNumbers()).toEqual([1, 2]);
      second.dispose();
      expect(copyOf(weight, 'bfloat16')?.toNumbers()).toEqual([2, 3]);
      const third = new WeightCopies([weight], 'bfloat16');
      first.dispose();
      expect(copyOf(weight, 'bfloat16')?.toNumbers()).toEqual([2, 3]);
      third.dispose();
      expect(copyOf(weight, 'bfloat16')).toBeUndefined();
      expect(copyOf(weight, 'float32')).toBeUndefined();
    });
  });

  it('leave out parameters of other types', () => {
    scope(() => {
      const weight = tensor([1], { dtype: 'float64', requiresGrad: true });
      const copies = new WeightCopies([weight], 'bfloat16');
      expect(copyOf(weight, 'bfloat16')).toBeUndefined();
      copies.dispose();
    });
  });
});

describe('mamba_prune::weight_copy', () => {
  it('refuses a copy of another shape, naming both', () => {
    const weight = zeros([2, 3], { requiresGrad: true });
    expect(() => callOperator('mamba_prune::weight_copy', weight, zeros([3, 2]))).toThrow(
      'got a copy of shape [3, 2] on cpu, expected that of the weight, [2, 3] on cpu. Make the copies again',
    );
  });
});
