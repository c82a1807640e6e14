import { describe, expect, it } from 'vitest';
import { F, type Tensor, manualSeed, noGrad, randn, stack, tensor, zeros } from '../index.js';

/** Largest difference of two tensors' values. */
function difference(a: Tensor, b: Tensor): number {
  return noGrad(() => a.sub(b).abs().max().item());
}

// float64 throughout: sums of fewer than 100 terms of order 1 differ by their order only, so 1e-12
// leaves three digits to spare and no real error can hide under it.
const tolerance = 1e-12;
const random = (...shape: number[]): Tensor => randn(shape, { dtype: 'float64' });

describe('functional', () => {
  it('selectiveScan is the recurrence it is documented to be', () => {
    manualSeed(3);
    const [batch, length, channels, states] = [2, 5, 3, 4];
    const [u, delta] = [random(batch, length, channels), random(batch, length, channels)];
    const A = random(channels, states).exp().neg();
    const [B, C] = [random(batch, length, states), random(batch, length, states)];
    const [D, deltaBias] = [random(channels), random(channels)];
    const z = random(batch, length, channels);
    let h = random(batch, channels, states);
    const got = F.selectiveScan(u, delta, A, B, C, {
      D,
      z,
      deltaBias,
      deltaSoftplus: true,
      initialState: h,
    });
    const dt = F.softplus(delta.add(deltaBias));
    const ys = Array.from({ length }, (_, t) => {
      const d = dt.select(1, t).unsqueeze(-1);
      const input = d.mul(B.select(1, t).unsqueeze(1)).mul(u.select(1, t).unsqueeze(-1));
      h = d.mul(A).exp().mul(h).add(input);
      return h.mul(C.select(1, t).unsqueeze(1)).sum(-1);
    });
    const y = stack(ys, 1).add(u.mul(D)).mul(F.silu(z));
    expect(difference(got.y, y)).toBeLessThan(tolerance);
    expect(difference(got.lastState, h)).toBeLessThan(tolerance);
  });

  it('causalConv1d sees the present and the past only, channels last', () => {
    manualSeed(4);
    const [x, weight, bias] = [random(2, 6, 3), random(3, 1, 4), random(3)];
    const past = zeros([2, 3, 3], { dtype: 'float64' });
    const y = Array.from({ length: 6 }, (_, t) => {
      let sum = bias.expand(2, 3);
      for (let k = 0; k < 4; k++) {
        const at = t - 3 + k;
        const value = at < 0 ? past.select(1, 0) : x.select(1, at);
        sum = sum.add(value.mul(weight.select(2, k).select(1, 0)));
      }
      return sum;
    });
    const expected = stack(y, 1);
    const plain = F.causalConv1d(x, weight, { bias, silu: false });
    expect(difference(plain, expected)).toBeLessThan(tolerance);
    expect(difference(F.causalConv1d(x, weight, { bias }), F.silu(expected))).toBeLessThan(
      tolerance,
    );
  });

  it('biasGelu is gelu of the sum', () => {
    manualSeed(5);
    const [x, bias] = [random(4, 7), random(7)];
    expect(difference(F.biasGelu(x, bias), F.gelu(x.add(bias)))).toBeLessThan(tolerance);
  });

  it('layerNorm has mean 0 and variance 1 before weight and bias', () => {
    const x = random(3, 50);
    const y = F.layerNorm(x, [50], { eps: 0 });
    expect(y.mean(-1).abs().max().item()).toBeLessThan(tolerance);
    expect(y.square().mean(-1).sub(1).abs().max().item()).toBeLessThan(tolerance);
  });

  it('dropout and dropPath give the input itself outside of training', () => {
    const x = random(2, 2);
    expect(F.dropout(x, 0.5, false)).toBe(x);
    expect(F.dropPath(x, 0.5, false)).toBe(x);
  });

  it('reorderTokens reverses a sequence, or exchanges rows and columns of its grid, with gradients', () => {
    const grid = tensor([[0, 1, 2, 3, 4, 5, 6, 7, 8]], { dtype: 'float64' }).unsqueeze(-1);
    expect(F.reorderTokens(grid, 'reversed').toNumbers()).toEqual([8, 7, 6, 5, 4, 3, 2, 1, 0]);
    expect(F.reorderTokens(grid, 'transposed').toNumbers()).toEqual([0, 3, 6, 1, 4, 7, 2, 5, 8]);
    // More than one thread copies; the source has gaps.
    const x = randn([50, 2 * 49, 96]).narrow(1, 0, 49);
    const weight = randn([50, 49, 96]);
    for (const order of ['reversed', 'transposed'] as const) {
      const leaf = x.detach();
      leaf.requiresGrad = true;
      const y = F.reorderTokens(leaf, order);
      const expected =
        order === 'reversed'
          ? x.flip(1)
          : x.reshape(50, 7, 7, 96).transpose(1, 2).reshape(50, 49, 96);
      expect(y.equal(expected)).toBe(true);
      y.mul(weight).sum().backward();
      // Each is its own inverse.
      expect(leaf.grad?.equal(F.reorderTokens(weight, order))).toBe(true);
    }
  });

  it('reorderTokens says what it cannot reorder', () => {
    expect(() => F.reorderTokens(zeros([1, 6, 2]), 'transposed')).toThrow(/6 tokens.*square/);
    expect(() => F.reorderTokens(zeros([6, 2]), 'reversed')).toThrow(/shape \[6, 2\]/);
  });
});
