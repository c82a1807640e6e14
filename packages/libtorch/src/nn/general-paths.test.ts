// What is beyond the sizes of the kernels, against plain loops in float64 and against the kernels themselves.
import { describe, expect, it } from 'vitest';
import { F, type Tensor, grad, manualSeed, randn, scope } from '../index.js';
import { scanInParts } from './general-paths.js';
import { plainConv } from './testing/plain-kernels.js';

// Sums of some hundred terms of about 1 in float64, in another order: measured 4e-15.
const rounding = 1e-13;

const far = (a: Tensor, b: Tensor): number =>
  a.detach().sub(b.detach()).abs().max().item() / b.detach().abs().max().item();

const random = (...shape: number[]): Tensor => {
  const tensor = randn(shape).to('float64');
  tensor.requiresGrad = true;
  return tensor;
};

describe('causalConv1d with more taps than the kernel has', () => {
  it.each([9, 16, 33])('gives the values and gradients of a plain loop for %i taps', (taps) => {
    for (const silu of [true, false]) {
      scope(() => {
        manualSeed(taps);
        const [x, weight, bias] = [random(2, 13, 5), random(5, 1, taps), random(5)];
        const got = F.causalConv1d(x, weight, { bias, silu });
        const expected = plainConv({ x, weight, bias }, silu);
        expect(far(got, expected)).toBeLessThan(rounding);
        const by = randn(got.shape).to('float64');
        const [a, b] = [got, expected].map((y) => grad([y.mul(by).sum()], [x, weight, bias]));
        a?.forEach((gradient, i) => {
          expect(far(gradient as Tensor, b?.[i] as Tensor)).toBeLessThan(rounding);
        });
      });
    }
  });

  it('computes 16-bit activations in float32, as the kernel does', () => {
    scope(() => {
      manualSeed(1);
      const [x, weight] = [randn([1, 20, 3]), randn([3, 1, 12])];
      const low = F.causalConv1d(x.to('bfloat16'), weight);
      expect(low.dtype).toBe('bfloat16');
      const exact = F.causalConv1d(x.to('bfloat16').to('float32'), weight);
      // One rounding of the result to the 8 bits of bfloat16.
      expect(far(low.to('float32'), exact)).toBeLessThan(2 ** -8);
    });
  });
});

describe('a scan in parts of the states', () => {
  it.each([1, 3, 4, 7])(
    'gives the values and gradients of the whole, %i states at a time',
    (most) => {
      scope(() => {
        manualSeed(most);
        const [batch, length, channels, states] = [2, 9, 3, 7];
        const rows = () => random(batch, length, channels);
        const [u, delta, z] = [rows(), rows(), rows()];
        const [B, C] = [random(batch, length, states), random(batch, length, states)];
        const A = randn([channels, states]).to('float64').abs().neg().detach();
        A.requiresGrad = true;
        const [D, deltaBias] = [random(channels), random(channels)];
        const initialState = random(batch, channels, states);
        const options = { D, z, deltaBias, deltaSoftplus: true, initialState };
        const whole = F.selectiveScan(u, delta, A, B, C, options);
        const parts = scanInParts(
          (a, b, c, of) => F.selectiveScan(u, delta, a, b, c, of),
          [A, B, C],
          options,
          most,
        );
        expect(far(parts.y, whole.y)).toBeLessThan(rounding);
        expect(far(parts.lastState, whole.lastState)).toBeLessThan(rounding);
        const inputs = [u, delta, A, B, C, D, z, deltaBias, initialState];
        const by = randn(whole.y.shape).to('float64');
        const [got, expected] = [parts, whole].map(({ y, lastState }) =>
          grad([y.mul(by).sum().add(lastState.sum())], inputs),
        );
        got?.forEach((gradient, i) => {
          expect(far(gradient as Tensor, expected?.[i] as Tensor)).toBeLessThan(rounding);
        });
      });
    },
  );
});
