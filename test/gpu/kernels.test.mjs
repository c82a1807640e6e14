// The operators of the scan and the convolution on a GPU against the CPU's float64 loops, whose own tests compare
// them with PyTorch and finite differences.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { F, manualSeed, rand, randn, scope } from '@mamba-prune/libtorch';
import { distance, gpu, skip } from './support.mjs';

// Measured: at most 3e-7 in float32, of sums in another order, and 7e-3 in bfloat16, whose results are rounded to 2^-9.
const tolerances = { float32: 3e-6, bfloat16: 1.5e-2 };

const sumOfSquares = (tensor) => {
  const x = tensor.to('float64');
  return x.mul(x).sum();
};

/** Results, then the gradients of all inputs, of `compute` for the same random inputs on a device in a type. */
function evaluate(make, parameters, compute, device, dtype) {
  manualSeed(7);
  const inputs = make().map((tensor, i) => {
    const type = dtype === 'bfloat16' && parameters.includes(i) ? 'float32' : dtype;
    const input = tensor.to(type).to(device).detach();
    input.requiresGrad = true;
    return input;
  });
  const results = compute(...inputs);
  results
    .map(sumOfSquares)
    .reduce((sum, term) => sum.add(term))
    .backward();
  return [...results, ...inputs.map(({ grad }) => grad)];
}

function compare(make, parameters, compute) {
  scope(() => {
    const expected = evaluate(make, parameters, compute, 'cpu', 'float64');
    for (const [dtype, tolerance] of Object.entries(tolerances)) {
      evaluate(make, parameters, compute, gpu, dtype).forEach((got, i) => {
        const apart = distance(got, expected[i]);
        assert.ok(apart <= tolerance, `${dtype}, number ${i}: ${apart}, expected ${tolerance}`);
      });
    }
  });
}

describe('kernels on a GPU', { skip }, () => {
  const sizes = [
    [3, 64, 115, 16],
    [2, 19, 37, 5],
    [2, 33, 40, 20],
    [1, 1, 1, 1],
    [2, 48, 64, 32],
    // In bfloat16 the backward pass goes by tiles of 16 channels, here with whole segments of 8 steps and without.
    [3, 64, 120, 16],
    [5, 21, 40, 16],
    // So many channels and sequences that fewer threads share a channel, or none.
    [300, 17, 64, 16],
    [600, 17, 64, 16],
    // So many that a block of the backward pass has several, each of three segments.
    [1000, 24, 64, 16],
    // More states than the kernel takes at a time.
    [2, 17, 24, 40],
    [1, 9, 8, 70],
  ];
  // Rows and columns of 16-bit numbers are exchanged by a product in float16, whose range is smaller than bfloat16's.
  for (const power of [-60, 60]) {
    it(`the backward scan of a gradient times 2^${power} gives the same, times 2^${power}`, () => {
      scope(() => {
        manualSeed(3);
        const [batch, length, channels, states] = [2, 24, 64, 16];
        const sequence = (last) => randn([batch, length, last]).to('bfloat16').to(gpu).detach();
        const inputs = [sequence(channels), sequence(channels), sequence(states), sequence(states)];
        inputs.push(rand([channels, states]).add(0.5).neg().to(gpu).detach());
        for (const input of inputs) input.requiresGrad = true;
        const [u, delta, B, C, A] = inputs;
        const gradient = sequence(channels);
        const gradientsOf = (scale) => {
          for (const input of inputs) input.grad = null;
          const { y } = F.selectiveScan(u, delta, A, B, C, { deltaSoftplus: true });
          y.backward(gradient.mul(scale));
          return inputs.map(({ grad }) => grad.to('float64'));
        };
        const scaled = gradientsOf(2 ** power);
        gradientsOf(1).forEach((expected, i) => {
          assert.equal(distance(scaled[i].mul(2 ** -power), expected), 0, `number ${i}`);
        });
      });
    });
  }

  for (const [batch, length, channels, states] of sizes) {
    const size = [batch, length, channels, states].join('x');
    it(`the selective scan of ${size} gives the values and gradients of the float64 loop`, () => {
      const sequence = () => randn([batch, length, channels]);
      compare(
        () => [
          ...[sequence(), sequence(), rand([channels, states]).add(0.5).neg()],
          ...[randn([batch, length, states]), randn([batch, length, states]), randn([channels])],
          ...[sequence(), randn([channels]), randn([batch, channels, states])],
        ],
        [2, 5, 7, 8],
        (u, delta, A, B, C, D, z, deltaBias, initialState) => {
          const options = { D, z, deltaBias, deltaSoftplus: true, initialState };
          const { y, lastState } = F.selectiveScan(u, delta, A, B, C, options);
          return [y, lastState];
        },
      );
    });
    it(`the plain scan of ${size}, without skip, gate and bias, does too`, () => {
      compare(
        () => [
          ...[randn([batch, length, channels]), randn([batch, length, channels])],
          ...[rand([channels, states]).add(0.5).neg()],
          ...[randn([batch, length, states]), randn([batch, length, states])],
        ],
        [2],
        (u, delta, A, B, C) => [F.selectiveScan(u, delta, A, B, C, { deltaSoftplus: true }).y],
      );
    });
    it(`a second backward pass of ${size} gives the same numbers`, () => {
      scope(() => {
        const make = () => [
          ...[randn([batch, length, channels]), randn([batch, length, channels])],
          ...[rand([channels, states]).add(0.5).neg()],
          ...[randn([batch, length, states]), randn([batch, length, states])],
        ];
        const compute = (u, delta, A, B, C) => [
          F.selectiveScan(u, delta, A, B, C, { deltaSoftplus: true }).y,
        ];
        const [first, second] = [1, 2].map(() => evaluate(make, [2], compute, gpu, 'bfloat16'));
        first.forEach((tensor, i) => {
          assert.equal(distance(second[i], tensor), 0, `number ${i}`);
        });
      });
    });
    it(`the causal convolution of ${[batch, length, channels].join('x')} does too`, () => {
      compare(
        () => [randn([batch, length, channels]), randn([channels, 1, 4]), randn([channels])],
        [1, 2],
        (x, weight, bias) => [F.causalConv1d(x, weight, { bias })],
      );
    });
  }
  // Runs of 32 steps and of up to 64, of which a warp has one or several; 5 taps are too many for rows that come by way of shared memory.
  const convolutions = [
    [530, 197, 8, 4],
    [2200, 65, 16, 4],
    [3, 37, 72, 3],
    [3, 37, 72, 1],
    [3, 70, 24, 5],
    [2, 9, 8, 8],
  ];
  for (const [batch, length, channels, taps] of convolutions) {
    it(`the causal convolution of ${[batch, length, channels].join('x')} with ${taps} taps does too`, () => {
      compare(
        () => [randn([batch, length, channels]), randn([channels, 1, taps]), randn([channels])],
        [1, 2],
        (x, weight, bias) => [F.causalConv1d(x, weight, { bias })],
      );
    });
  }
});
