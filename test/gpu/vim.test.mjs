// RMSNorm and the layers of Vim on a GPU, against the CPU's operators in float64, whose own tests compare them with libtorch's and
// with finite differences.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { F, manualSeed, noGrad, ones, randint, randn, scope, tensor } from '@mamba-prune/libtorch';
import * as kernels from '@mamba-prune/libtorch/kernels';
import { createModel } from 'mamba-prune';
import { createModelFromConfig } from 'mamba-prune/models';
import { weightCopies } from '../../packages/mamba-prune/dist/models/precision.js';
import { distance, gpu, skip } from './support.mjs';

/** @returns y and the gradients of x and weight */
function normalise({ shape, transposed }, device, dtype, type = dtype) {
  manualSeed(4);
  const place = (values, of) => values.to(of).to(device).detach();
  // Rows that do not lie one after another are copied first.
  const from = transposed ? randn([...shape].reverse()).transpose(0, 1) : randn(shape);
  const [x, weight] = [place(from, dtype), place(randn([shape.at(-1)]), type)];
  for (const input of [x, weight]) input.requiresGrad = true;
  // Of a row of one number the gradient is all cancellation, down to eps / (x² + eps) of its terms: a large one leaves digits.
  const y = F.rmsNorm(x, weight, { eps: 0.5 });
  const wide = y.to('float64');
  wide.mul(wide).sum().backward();
  return [y, x.grad, weight.grad];
}

describe('RMSNorm on a GPU', { skip }, () => {
  // A pair of numbers a lane and single ones, fewer rows than a block has warps and many, and rows too wide for the kernel.
  const cases = [
    { shape: [3, 197, 192] },
    { shape: [2, 19, 37] },
    { shape: [5, 1] },
    { shape: [70000, 384] },
    { shape: [33, 64], transposed: true },
    { shape: [6, 2050] },
  ];
  for (const each of cases) {
    it(`of ${JSON.stringify(each)} gives the values and gradients of the CPU in float64`, () => {
      scope(() => {
        const expected = normalise(each, 'cpu', 'float64');
        // float32: sums in another order, of up to 2,050 numbers in a row, and of 70,000 rows in parts. bfloat16: the result, and so
        // what comes back, is rounded to 2^-9.
        for (const [dtype, tolerance] of [
          ['float32', 5e-6],
          ['bfloat16', 1.5e-2],
        ]) {
          normalise(each, gpu, dtype, 'float32').forEach((got, i) => {
            const apart = distance(got, expected[i]);
            assert.ok(apart <= tolerance, `${dtype}, number ${i}: ${apart}, expected ${tolerance}`);
          });
        }
      });
    });
  }

  it('gives no rows back as they came', () => {
    scope(() => {
      const [x, weight] = [randn([0, 48], { device: gpu }), ones([48], { device: gpu })];
      for (const input of [x, weight]) input.requiresGrad = true;
      F.rmsNorm(x, weight).sum().backward();
      assert.deepEqual(x.grad.shape, [0, 48]);
      assert.equal(weight.grad.abs().sum().item(), 0);
    });
  });
});

/** Logits, then the gradients of all parameters. */
function evaluate(model, images, labels) {
  for (const parameter of model.parameters()) parameter.grad = null;
  const logits = model.forward(images);
  F.crossEntropy(logits, labels).backward();
  return [logits, ...[...model.parameters()].map(({ grad }) => grad)];
}

/** Of all gradients as one vector. */
function gradientDistance(got, expected) {
  let [apart, whole] = [0, 0];
  expected.forEach((gradient, i) => {
    const size = gradient.to('float64').norm().item();
    apart += (distance(got[i], gradient) * size) ** 2;
    whole += size ** 2;
  });
  return Math.sqrt(apart / whole);
}

describe('layers of Vim on a GPU', { skip }, () => {
  // Layers as those of vim_tiny at 224 px, whose 197 tokens are no multiple of a segment of the scan; and odd sizes.
  const tiny = { dModel: 192, depth: 2, dState: 16, imageSize: 56, patchSize: 4 };
  const models = {
    'two layers of vim_tiny': () => createModel('vim_nano', tiny),
    'with 70% of the channels removed': () => {
      const model = createModel('vim_nano', tiny);
      return model.withWidths({ 'layers.0.ssm': 115, 'layers.1.ssm': 112 });
    },
    'with states and rank of their own': () => {
      const model = createModel('vim_nano', { ...tiny, imageSize: 20, dModel: 40 });
      return model.withWidths({ 'layers.0.state': 5, 'layers.0.dt_rank': 1, 'layers.1.ssm': 9 });
    },
    'of patches that overlap': () =>
      createModel('vim_nano', { ...tiny, imageSize: 24, patchSize: 8, stride: 4 }),
  };
  for (const [name, make] of Object.entries(models)) {
    it(`${name}: logits and gradients of the CPU in float64`, () => {
      scope(() => {
        manualSeed(1);
        const exact = make();
        noGrad(() => {
          for (const parameter of exact.parameters())
            parameter.add_(randn(parameter.shape).mul(0.02));
        });
        const onGpu = createModelFromConfig(exact.config);
        onGpu.loadStateDict(exact.stateDict());
        onGpu.to(gpu);
        exact.to('float64');
        const { imageSize } = exact.config;
        const [images, labels] = [randn([5, 3, imageSize, imageSize]), randint(0, 10, [5])];
        const expected = evaluate(exact, images.to('float64'), labels);
        // float32: sums in another order, and exponentials of 2 units in the last place, over the steps of the scans.
        // bfloat16: roundings of 2^-9 at every tensor of a layer; the residual stream is not rounded.
        const cases = [
          ['float32', undefined, 1e-4, 1e-3],
          ['bfloat16', undefined, 0.03, 0.1],
          ['bfloat16', 'bf16', 0.03, 0.1],
        ];
        for (const [dtype, copied, most, mostOfGradients] of cases) {
          const copies = copied && weightCopies(onGpu, copied);
          copies?.refresh();
          const given = images.to(gpu).to(dtype);
          const [logits, ...gradients] = evaluate(onGpu, given, labels.to(gpu));
          const inferred = noGrad(() => onGpu.forward(given));
          copies?.dispose();
          const apart = distance(logits, expected[0]);
          assert.ok(apart <= most, `${dtype}: logits ${apart}, expected ${most}`);
          // Nothing is kept without gradients: the same arithmetic, of kernels that were compiled without the checkpoints.
          const other = distance(inferred, logits);
          assert.ok(other <= most, `${dtype}: without gradients ${other}`);
          const along = gradientDistance(gradients, expected.slice(1));
          assert.ok(
            along <= mostOfGradients,
            `${dtype}: gradients ${along}, expected ${mostOfGradients}`,
          );
        }
      });
    });
  }

  it('are the branch times a factor for each sample, beside the residual stream in float32', () => {
    scope(() => {
      manualSeed(2);
      const [model, inner, states, rank] = [48, 64, 8, 8];
      const made = (...shape) => randn(shape, { device: gpu }).mul(0.1);
      const scan = () => [
        ...[made(inner, 1, 4), made(inner), made(rank + 2 * states, inner)],
        ...[made(inner, rank), made(inner), made(inner, states), made(inner)],
      ];
      const weights = [made(2 * inner, model), made(model, inner), ...scan(), ...scan()];
      const packed = [0, 1, 4, 5, 11, 12].map((i) => weights[i].to('bfloat16'));
      const norm = { weight: made(model), eps: 1e-5 };
      const x = randn([3, 21, model], { device: gpu });
      const branch = (...factors) => {
        const scale = tensor(factors, { dtype: 'float32', device: gpu });
        const out = noGrad(() => kernels.ssmBranch(x, norm, { weights, packed }, scale));
        assert.equal(out.dtype, 'float32');
        return out.sub(x);
      };
      const whole = branch(1, 1, 1);
      const parts = branch(0, 0.5, 2);
      assert.equal(parts.select(0, 0).abs().max().item(), 0);
      // Factors that are powers of two change no rounding of the scan's result; x + branch is rounded to 2^-24 of x.
      for (const [i, factor] of [
        [1, 0.5],
        [2, 2],
      ]) {
        const apart = parts.select(0, i).sub(whole.select(0, i).mul(factor)).abs().max().item();
        assert.ok(apart <= 2e-6, `factor ${factor}: ${apart}`);
      }
    });
  });

  it('refuse a residual stream of 16 bits', () => {
    scope(() => {
      const x = randn([1, 2, 8], { device: gpu }).to('bfloat16');
      const norm = { weight: ones([8], { device: gpu }), eps: 1e-5 };
      const weights = Array.from({ length: 9 }, () => ones([8, 8], { device: gpu }));
      assert.throws(
        () => noGrad(() => kernels.ssmBranch(x, norm, { weights, packed: weights.slice(0, 4) })),
        /without a bias, expected float32/,
      );
    });
  });
});
