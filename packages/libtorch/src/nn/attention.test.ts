import { describe, expect, it } from 'vitest';
import { F, ShapeError, grad, manualSeed, randn, stack, tensor } from '../index.js';

describe('scaledDotProductAttention', () => {
  it('weighs the values by the softmax of the scaled products', () => {
    // Scores [0, ln 3 * 2 / sqrt(4)]: weights 1/4 and 3/4.
    const q = tensor([[2, 0, 0, 0]]);
    const k = tensor([
      [0, 1, 1, 1],
      [Math.log(3), 1, 1, 1],
    ]);
    const v = tensor([
      [4, 0],
      [0, 8],
    ]);
    const [a, b] = F.scaledDotProductAttention(q, k, v).toNumbers() as [number, number];
    // One rounding of float32 each in product, softmax and product.
    expect(a).toBeCloseTo(1, 5);
    expect(b).toBeCloseTo(6, 5);
  });

  it('equals the formula, values and gradients, for every head of a batch', () => {
    manualSeed(0);
    const options = { dtype: 'float64', requiresGrad: true } as const;
    // Strided views, as a model's joint projection gives them: [batch, heads, length, features].
    const [q, k, v] = [5, 7, 7].map((length) => randn([2, length, 3, 4], options)) as [
      ReturnType<typeof randn>,
      ReturnType<typeof randn>,
      ReturnType<typeof randn>,
    ];
    const y = F.scaledDotProductAttention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2));
    expect(y.shape).toEqual([2, 3, 5, 4]);
    const plain = stack(
      [0, 1].map((b) =>
        stack(
          [0, 1, 2].map((h) => {
            const of = (t: typeof q): typeof q => t.select(0, b).select(1, h);
            return of(q).mm(of(k).t()).div(Math.sqrt(4)).softmax(-1).mm(of(v));
          }),
        ),
      ),
    );
    // float64 rounds at 1e-16; sums of seven terms lose a digit at most.
    expect(y.sub(plain).abs().max().item()).toBeLessThan(1e-14);
    const weights = randn(y.shape, { dtype: 'float64' });
    const [got, want] = [y, plain].map((out) => grad([out.mul(weights).sum()], [q, k, v]));
    got?.forEach((gradient, i) => {
      const difference = gradient?.sub(want?.[i] ?? gradient.mul(0));
      expect(difference?.abs().max().item()).toBeLessThan(1e-13);
    });
  });

  it('refuses sizes that do not go together with all three shapes', () => {
    const call = () => F.scaledDotProductAttention(randn([5, 4]), randn([7, 3]), randn([7, 4]));
    expect(call).toThrow(ShapeError);
    expect(call).toThrow(/queries \[5, 4\], keys \[7, 3\] and values \[7, 4\]/);
  });
});
