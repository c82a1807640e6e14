// The MLP branch of a block as one operator on a GPU against the same in float64 on the CPU: results, and the gradients of
// everything that it is given. Widths of 128 and 192 have kernels of their own for training on Hopper.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { F, manualSeed, rand, randn, scope, zeros } from '@mamba-prune/libtorch';
import { mlpBranch } from '@mamba-prune/libtorch/kernels';
import { distance, gpu, skip } from './support.mjs';

// bfloat16: what the products read is rounded to 2^-9, and so are the hidden neurons, their gradient and the results.
const tolerances = { float32: 3e-6, bfloat16: 1.5e-2 };

function makeInputs(batch, length, model, neurons, scaled) {
  manualSeed(3);
  return {
    x: randn([batch, length, model]),
    normWeight: randn([model]).mul(0.2).add(1),
    normBias: randn([model]).mul(0.2),
    fc1: randn([neurons, model]).mul(0.1),
    bias1: randn([neurons]).mul(0.3),
    fc2: randn([model, neurons]).mul(0.1),
    bias2: randn([model]).mul(0.3),
    ...(scaled && { scale: rand([batch]).add(0.5) }),
    gradient: randn([batch, length, model]),
  };
}

/** The branch's result and the gradients of all but `scale`, which has none. */
function results(inputs, out) {
  out.mul(inputs.gradient).sum().backward();
  const names = ['x', 'normWeight', 'normBias', 'fc1', 'bias1', 'fc2', 'bias2'];
  return new Map([['result', out], ...names.map((name) => [name, inputs[name].grad])]);
}

function prepared(inputs, device, dtypeOf) {
  return Object.fromEntries(
    Object.entries(inputs).map(([name, tensor]) => {
      const input = tensor.to(dtypeOf(name)).to(device).detach();
      if (name !== 'scale' && name !== 'gradient') input.requiresGrad = true;
      return [name, input];
    }),
  );
}

function expected(given) {
  const i = prepared(given, 'cpu', () => 'float64');
  const normed = F.layerNorm(i.x, [i.x.shape.at(-1)], { weight: i.normWeight, bias: i.normBias });
  const before = normed.matmul(i.fc1.transpose(0, 1)).add(i.bias1);
  const branch = F.gelu(before).matmul(i.fc2.transpose(0, 1)).add(i.bias2);
  return results(i, i.x.add(i.scale ? branch.mul(i.scale.view(-1, 1, 1)) : branch));
}

function computed(given, dtype) {
  const i = prepared(given, gpu, (name) =>
    name === 'x' || name === 'gradient' ? dtype : 'float32',
  );
  const neurons = i.bias1.shape[0];
  const width = dtype === 'float32' ? neurons : Math.ceil(neurons / 8) * 8;
  const packed = (weight, shape, ...corner) => {
    const copy = zeros(shape, { device: gpu, dtype });
    let part = copy;
    corner.forEach((size, dim) => {
      part = part.narrow(dim, 0, size);
    });
    part.copy_(weight.detach());
    return copy;
  };
  const model = i.x.shape.at(-1);
  const out = mlpBranch(
    i.x,
    { weight: i.normWeight, bias: i.normBias, eps: 1e-5 },
    {
      weights: [i.fc1, i.bias1, i.fc2, i.bias2],
      packed: [
        packed(i.fc1, [width, model], neurons, model),
        packed(i.bias1, [width], neurons),
        packed(i.fc2, [model, width], model, neurons),
        packed(i.bias2, [model], model),
      ],
    },
    i.scale,
  );
  return results(i, out);
}

describe('the MLP branch on a GPU', { skip }, () => {
  const cases = [
    [3, 17, 192, 100, false],
    [3, 17, 192, 768, true],
    // Several tiles of rows for some blocks, with a last one that is not full.
    [300, 65, 192, 130, true],
    [300, 65, 192, 130, false],
    // So wide that a library multiplies for the gradients of the weights, with neurons in whole tiles and not.
    [300, 65, 192, 768, false],
    [149, 67, 192, 470, true],
    // Two warpgroups a block, and blocks of a cluster of which one has no rows: 67 tiles.
    [125, 68, 192, 64, true],
    [125, 68, 128, 200, false],
    [40, 64, 128, 256, false],
    [2, 9, 128, 64, true],
    // No kernel of its own.
    [3, 17, 64, 100, true],
    [3, 17, 40, 33, false],
  ];
  for (const [batch, length, model, neurons, scaled] of cases) {
    const name = `${batch} x ${length} tokens of ${model}, ${neurons} neurons${scaled ? ', with a factor' : ''}`;
    it(`of ${name} gives the results and gradients of float64, and the same again`, () => {
      scope(() => {
        const inputs = makeInputs(batch, length, model, neurons, scaled);
        const wanted = expected(inputs);
        for (const [dtype, tolerance] of Object.entries(tolerances)) {
          const [first, again] = [computed(inputs, dtype), computed(inputs, dtype)];
          for (const [what, tensor] of wanted) {
            const apart = distance(first.get(what), tensor);
            assert.ok(apart <= tolerance, `${dtype}, ${what}: ${apart}, expected ${tolerance}`);
            assert.equal(distance(again.get(what), first.get(what)), 0, `${dtype}, ${what} again`);
          }
        }
      });
    });
  }
});
