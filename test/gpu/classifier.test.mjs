// The last layer of a classifier and its loss on a GPU against the same in float64 on the CPU: results and gradients.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { manualSeed, randint, randn, scope, tensor, zeros } from '@mamba-prune/libtorch';
import { classLogits, meanCrossEntropy } from '@mamba-prune/libtorch/kernels';
import { distance, gpu, skip } from './support.mjs';

// Sums of up to 2,048 products of both signs in float32, in another order: what is left of a sum may be much smaller than its parts.
const tolerance = 2e-5;

/** The named inputs as leaves, and what `compute` makes of them with the gradients of all. */
function evaluate(given, device, dtype, compute) {
  const inputs = Object.fromEntries(
    Object.entries(given).map(([name, value]) => {
      const input = value.to(dtype).to(device).detach();
      input.requiresGrad = true;
      return [name, input];
    }),
  );
  const result = compute(inputs);
  result.backward();
  return new Map([
    ['result', result],
    ...Object.entries(inputs).map(([name, { grad }]) => [name, grad]),
  ]);
}

function compare(given, compute, expected = compute) {
  const wanted = evaluate(given, 'cpu', 'float64', (inputs) => expected(inputs, 'cpu', 'float64'));
  const [first, again] = [0, 1].map(() =>
    evaluate(given, gpu, 'float32', (inputs) => compute(inputs, gpu, 'float32')),
  );
  for (const [name, value] of wanted) {
    const apart = distance(first.get(name), value);
    assert.ok(apart <= tolerance, `${name}: ${apart} from float64, expected ${tolerance} at most`);
    assert.equal(distance(again.get(name), first.get(name)), 0, `${name}, the same again`);
  }
}

// First of all in this process: autograd's thread has not called libtorch's runtime yet, nor does it need new memory.
it('has a context where a kernel of ours is the first of a backward pass', { skip }, () => {
  scope(() => {
    const logits = zeros([64, 10], { device: gpu });
    const labels = zeros([64], { device: gpu, dtype: 'int64' });
    logits.requiresGrad = true;
    scope(() => {
      for (let i = 0; i < 8; i++) zeros([64, 10], { device: gpu });
    });
    meanCrossEntropy(logits, labels).backward();
    assert.ok(logits.grad);
  });
});

describe('the last layer of a classifier on a GPU', { skip }, () => {
  // Fewer samples than a block takes, widths that are no multiple of a warp, one class, all that the kernel takes, and more.
  for (const [batch, width, classes] of [
    [512, 192, 10],
    [3, 384, 100],
    [1, 33, 1],
    [2048, 40, 128],
    [37, 192, 1000],
  ]) {
    it(`gives ${batch} x ${classes} logits of ${width} features and their gradients as float64 does`, () => {
      scope(() => {
        manualSeed(7);
        const given = {
          features: randn([batch, width]),
          weight: randn([classes, width]).mul(0.1),
          bias: randn([classes]),
        };
        const slope = randn([batch, classes]);
        compare(given, ({ features, weight, bias }, device, dtype) =>
          classLogits(features, { weight, bias, outFeatures: classes })
            .mul(slope.to(dtype).to(device))
            .sum(),
        );
      });
    });
  }
});

describe('the mean cross entropy on a GPU', { skip }, () => {
  const lossOf =
    (target, options) =>
    ({ logits }, device, dtype) => {
      const own = target.isFloat ? target.to(dtype) : target;
      return meanCrossEntropy(logits, own.to(device), options).mul(3);
    };
  for (const [batch, classes] of [
    [512, 10],
    [3, 100],
    [70, 1000],
    [2049, 2],
  ]) {
    for (const options of [{}, { labelSmoothing: 0.1 }]) {
      it(`of ${batch} samples of ${classes} classes is that of float64, ${JSON.stringify(options)}`, () => {
        scope(() => {
          manualSeed(8);
          const given = { logits: randn([batch, classes]).mul(4) };
          compare(given, lossOf(randint(0, classes, [batch]), options));
          compare(given, lossOf(randn([batch, classes]).softmax(-1), options));
          // Shares that do not add up to 1.
          compare(given, lossOf(randn([batch, classes]).abs(), options));
        });
      });
    }
  }

  it('leaves samples of the class -100 out', () => {
    scope(() => {
      manualSeed(9);
      const labels = tensor([4, -100, 0, -100, 2], { dtype: 'int64' });
      compare({ logits: randn([5, 6]) }, lossOf(labels, {}));
    });
  });

  it('is NaN where a label is no class, and so cannot go unseen', () => {
    scope(() => {
      const labels = tensor([1, 6], { dtype: 'int64' }).to(gpu);
      assert.ok(Number.isNaN(meanCrossEntropy(randn([2, 6]).to(gpu), labels).item()));
    });
  });

  it('does not overflow', () => {
    scope(() => {
      const logits = tensor([[1e4, -1e4, 0]]).to(gpu);
      const labels = tensor([1], { dtype: 'int64' }).to(gpu);
      assert.equal(meanCrossEntropy(logits, labels).item(), 2e4);
    });
  });
});
