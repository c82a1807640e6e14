// The scan of a grid in four directions on a GPU against the CPU's operator in float64, whose own tests compare it with
// the definition and with finite differences; and a VMamba's logits and gradients.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { manualSeed, noGrad, randn, scope } from '@mamba-prune/libtorch';
import * as kernels from '@mamba-prune/libtorch/kernels';
import { createModel } from 'mamba-prune';
import { distance, gpu, skip } from './support.mjs';

// float32: sums in another order. bfloat16: results, of which four are added one after the other, are rounded to 2^-9.
const tolerances = { float32: 1e-5, bfloat16: 2e-2 };
const parameters = ['A', 'D', 'deltaBias'];

const names = ['u', 'delta', 'A', 'B', 'C', 'D', 'deltaBias'];

function evaluate({ batch, height, width, channels, states }, device, dtype) {
  manualSeed(7);
  const length = height * width;
  const place = (tensor, type = dtype) => tensor.to(type).to(device).detach();
  const inputs = {
    u: place(randn([batch, length, channels])),
    delta: place(randn([4, batch, length, channels])),
    A: place(
      randn([4 * channels, states])
        .exp()
        .neg(),
    ),
    B: place(randn([batch, length, 4, states])),
    C: place(randn([batch, length, 4, states])),
    D: place(randn([4 * channels])),
    deltaBias: place(randn([4 * channels])),
  };
  for (const name of parameters) {
    if (dtype === 'bfloat16') inputs[name] = place(inputs[name], 'float32');
  }
  for (const name of names) inputs[name].requiresGrad = true;
  const y = kernels.crossScan(inputs, height);
  const wide = y.to('float64');
  wide.mul(wide).sum().backward();
  const inferred = noGrad(() => kernels.crossScan(inputs, height));
  return [y, inferred, ...names.map((name) => inputs[name].grad)];
}

describe('the scan in four directions on a GPU', { skip }, () => {
  for (const sizes of [
    { batch: 2, height: 14, width: 14, channels: 96, states: 1 },
    { batch: 3, height: 5, width: 7, channels: 19, states: 3 },
    { batch: 1, height: 1, width: 1, channels: 1, states: 1 },
    { batch: 2, height: 1, width: 40, channels: 65, states: 1 },
    { batch: 2, height: 23, width: 1, channels: 33, states: 2 },
    { batch: 1, height: 56, width: 56, channels: 96, states: 1 },
    { batch: 2, height: 4, width: 9, channels: 24, states: 16 },
    // More states than the kernel takes with gradients: four scans of copies.
    { batch: 1, height: 3, width: 4, channels: 8, states: 40 },
  ]) {
    it(`of ${JSON.stringify(sizes)} gives the values and gradients of the CPU in float64`, () => {
      scope(() => {
        const expected = evaluate(sizes, 'cpu', 'float64');
        for (const [dtype, tolerance] of Object.entries(tolerances)) {
          evaluate(sizes, gpu, dtype).forEach((got, i) => {
            // Of one step A has no gradient.
            if (expected[i].abs().sum().item() === 0) return;
            const apart = distance(got, expected[i]);
            assert.ok(apart <= tolerance, `${dtype}, number ${i}: ${apart}, expected ${tolerance}`);
          });
        }
      });
    });
  }

  it('is what a VMamba computes there, within the rounding of float32', () => {
    scope(() => {
      manualSeed(3);
      const model = createModel('vmamba_nano', { baseWidth: 16, blocks: [1, 1, 1] }).eval();
      const images = randn([4, 3, 32, 32]);
      const expected = noGrad(() => model.forward(images)).detach();
      const got = noGrad(() => model.to(gpu).forward(images.to(gpu)));
      const apart = distance(got, expected);
      assert.ok(apart <= 1e-4, `${apart}`);
      model.dispose();
    });
  });
});
