// The scan in four directions: values against a plain loop in float64, gradients against finite differences.
import { describe, expect, it } from 'vitest';
import { noGrad } from '../autograd.js';
import { ones, randn } from '../factories.js';
import { manualSeed } from '../random.js';
import { setNumThreads } from '../runtime.js';
import { scope } from '../scope.js';
import type { Tensor } from '../tensor.js';
import { type CrossScanInputs, crossScan, crossScanInParts } from './cross-scan.js';

interface Sizes {
  readonly batch: number;
  readonly height: number;
  readonly width: number;
  readonly channels: number;
  readonly states: number;
}

function inputsOf(sizes: Sizes, dtype: 'float32' | 'float64'): CrossScanInputs {
  manualSeed(7);
  const { batch, height, width, channels, states } = sizes;
  const length = height * width;
  const made = (...shape: number[]): Tensor => randn(shape, { dtype });
  return {
    u: made(batch, length, channels),
    delta: made(4, batch, length, channels),
    A: made(4 * channels, states)
      .exp()
      .neg(),
    B: made(batch, length, 4, states),
    C: made(batch, length, 4, states),
    D: made(4 * channels),
    deltaBias: made(4 * channels),
  };
}

const numbers = (x: Tensor): number[] =>
  Array.from(x.detach().to('float64').contiguous().toTypedArray() as Float64Array);

/** The definition, one number after the other. */
function byLoop(inputs: CrossScanInputs, sizes: Sizes): number[] {
  const { batch, height, width, channels, states } = sizes;
  const length = height * width;
  const [u, delta, A, B, C, D, bias] = [
    inputs.u,
    inputs.delta,
    inputs.A,
    inputs.B,
    inputs.C,
    inputs.D,
    inputs.deltaBias,
  ].map(numbers) as [number[], number[], number[], number[], number[], number[], number[]];
  const at = (list: readonly number[], index: number): number => list[index] as number;
  const y = Array<number>(batch * length * channels).fill(0);
  for (let k = 0; k < 4; k++) {
    const order = Array.from({ length }, (_, t) =>
      k % 2 === 0 ? t : (t % height) * width + Math.floor(t / height),
    );
    if (k >= 2) order.reverse();
    for (let b = 0; b < batch; b++) {
      for (let c = 0; c < channels; c++) {
        const row = k * channels + c;
        const h = Array<number>(states).fill(0);
        for (const place of order) {
          const position = b * length + place;
          const step = at(delta, (k * batch * length + position) * channels + c) + at(bias, row);
          const dt = Math.log1p(Math.exp(step));
          const input = at(u, position * channels + c);
          let sum = at(D, row) * input;
          for (let n = 0; n < states; n++) {
            const selected = (position * 4 + k) * states + n;
            h[n] = Math.exp(dt * at(A, row * states + n)) * at(h, n) + dt * at(B, selected) * input;
            sum += at(C, selected) * at(h, n);
          }
          y[position * channels + c] = at(y, position * channels + c) + sum;
        }
      }
    }
  }
  return y;
}

const difference = (got: readonly number[], wanted: readonly number[]): number => {
  const norm = (list: readonly number[]): number => Math.hypot(...list);
  // Of a single step A has no gradient: there is no state before it.
  return norm(got.map((value, i) => value - (wanted[i] as number))) / (norm(wanted) || 1);
};

const cases: Sizes[] = [
  { batch: 2, height: 3, width: 5, channels: 5, states: 1 },
  { batch: 1, height: 1, width: 1, channels: 1, states: 1 },
  { batch: 2, height: 7, width: 1, channels: 3, states: 2 },
  { batch: 1, height: 1, width: 40, channels: 37, states: 1 },
  { batch: 3, height: 6, width: 6, channels: 33, states: 3 },
  { batch: 1, height: 5, width: 4, channels: 64, states: 16 },
];

describe.each(cases)('the scan in four directions of %j', (sizes) => {
  it.each([
    // Sums of some dozens of products: 1e-16 and 6e-8 each.
    ['float64', 1e-13],
    ['float32', 1e-5],
  ] as const)('is that of the definition in %s', (dtype, tolerance) => {
    scope(() => {
      const inputs = inputsOf(sizes, dtype);
      const wanted = byLoop(inputs, sizes);
      for (const way of [crossScan, crossScanInParts]) {
        expect(difference(numbers(way(inputs, sizes.height)), wanted)).toBeLessThan(tolerance);
      }
    });
  });

  it.each([
    ['float64', 1e-12],
    ['float32', 1e-4],
  ] as const)('has the gradients of four scans of copies in %s', (dtype, tolerance) => {
    scope(() => {
      const gradients = [crossScan, crossScanInParts].map((way) => {
        const inputs = inputsOf(sizes, dtype);
        const all = Object.values(inputs) as Tensor[];
        for (const tensor of all) tensor.requiresGrad = true;
        const y = way(inputs, sizes.height);
        manualSeed(8);
        y.mul(randn(y.shape, { dtype })).sum().backward();
        return all.map((tensor) => numbers(tensor.grad as Tensor));
      });
      gradients[0]?.forEach((got, i) => {
        expect(difference(got, gradients[1]?.[i] as number[])).toBeLessThan(tolerance);
      });
    });
  });
});

describe('gradients of the scan in four directions', () => {
  const sizes = { batch: 2, height: 3, width: 6, channels: 3, states: 2 };

  it.each(['u', 'delta', 'A', 'B', 'C', 'D', 'deltaBias'] as const)(
    'are finite differences in float64: %s',
    (name) => {
      scope(() => {
        const inputs = inputsOf(sizes, 'float64');
        const tensor = inputs[name];
        manualSeed(9);
        const weights = randn(inputs.u.shape, { dtype: 'float64' });
        const loss = (): Tensor => crossScan(inputs, sizes.height).mul(weights).sum();
        tensor.requiresGrad = true;
        loss().backward();
        const got = numbers(tensor.grad as Tensor);
        const flat = tensor.detach().view(-1);
        const step = 1e-5;
        const wanted = got.map((_, i) =>
          noGrad(() => {
            const one = flat.narrow(0, i, 1);
            const by = (amount: number): void => {
              one.add_(ones([1], { dtype: 'float64' }).mul(amount));
            };
            by(step);
            const above = loss().item();
            by(-2 * step);
            const below = loss().item();
            by(step);
            return (above - below) / (2 * step);
          }),
        );
        // The third derivative times step squared, and 1e-16 of a loss of some hundreds over the step.
        expect(difference(got, wanted)).toBeLessThan(1e-7);
      });
    },
  );
});

describe('the operator', () => {
  const sizes = { batch: 2, height: 4, width: 4, channels: 40, states: 1 };

  it('gives the same for every number of threads', () => {
    const results = [1, 2].map((threads) => {
      setNumThreads(threads);
      const inputs = inputsOf({ ...sizes, batch: 9, height: 12, width: 12 }, 'float32');
      inputs.u.requiresGrad = true;
      inputs.B.requiresGrad = true;
      const y = crossScan(inputs, 12);
      y.sum().backward();
      return [y, inputs.u.grad as Tensor, inputs.B.grad as Tensor].map(numbers);
    });
    setNumThreads(1);
    expect(results[0]).toEqual(results[1]);
  });

  it('takes 16 bits and gives them back', () => {
    const inputs = inputsOf(sizes, 'float32');
    const halves = Object.fromEntries(
      Object.entries(inputs).map(([name, tensor]) => [name, (tensor as Tensor).to('bfloat16')]),
    ) as unknown as CrossScanInputs;
    const y = crossScan(halves, 4);
    expect(y.dtype).toBe('bfloat16');
    // bfloat16 rounds each input by 2^-9.
    expect(difference(numbers(y), numbers(crossScan(inputs, 4)))).toBeLessThan(0.05);
  });

  it.each([
    ['u', (x: Tensor) => x.narrow(1, 0, 3), /got height 4 for 3 positions/],
    ['delta', (x: Tensor) => x.narrow(0, 0, 3), /got delta of shape \[3, 2, 16, 40\]/],
    ['A', (x: Tensor) => x.narrow(0, 0, 40), /got A of shape \[40, 1\], expected \[4 \* channels/],
    ['B', (x: Tensor) => x.narrow(2, 0, 1), /got B of shape \[2, 16, 1, 1\]/],
    ['D', (x: Tensor) => x.to('float64'), /got D of dtype Double, expected Float/],
  ] as const)('says what is wrong with %s', (name, change, message) => {
    const inputs = inputsOf(sizes, 'float32');
    expect(() => crossScan({ ...inputs, [name]: change(inputs[name]) }, 4)).toThrow(message);
  });
});
