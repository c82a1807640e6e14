// Whole models on a GPU: the fused branches against the operators of the CPU, and captured steps against eager ones.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  CudaGraph,
  F,
  manualSeed,
  noGrad,
  optim,
  randint,
  randn,
  scope,
  zeros,
} from '@mamba-prune/libtorch';
import * as kernels from '@mamba-prune/libtorch/kernels';
import { createModel } from 'mamba-prune';
import { createModelFromConfig } from 'mamba-prune/models';
import { weightCopies } from '../../packages/mamba-prune/dist/models/precision.js';
import { distance, gpu, skip } from './support.mjs';

function pruned(model) {
  const groups = model.pruningGroups().filter(({ kind }) => kind === 'ssm' || kind === 'mlp');
  const widths = groups.map(({ name, size }, i) => [name, Math.round(size * 0.3) + (i % 3)]);
  return model.withWidths(Object.fromEntries(widths));
}

/** Logits, loss and all gradients. */
function evaluate(model, images, labels, device, dtype) {
  for (const parameter of model.parameters()) parameter.grad = null;
  const logits = model.forward(images.to(device).to(dtype));
  const loss = F.crossEntropy(logits, labels.to(device));
  loss.backward();
  const gradients = [...model.namedParameters()].map(([name, { grad }]) => [name, grad]);
  return { logits, loss: loss.item(), gradients: new Map(gradients) };
}

/** All gradients as one vector would be apart. */
function gradientDistance(got, expected) {
  let [apart, whole] = [0, 0];
  for (const [name, gradient] of expected) {
    const size = gradient.to('float64').norm().item();
    apart += (distance(got.get(name), gradient) * size) ** 2;
    whole += size ** 2;
  }
  return Math.sqrt(apart / whole);
}

describe('models on a GPU', { skip }, () => {
  const models = {
    mamba_tiny: () => createModel('mamba_tiny'),
    'mamba_tiny with two directions': () => createModel('mamba_tiny', { scan: 'bi' }),
    'mamba_tiny with four directions by turns': () => createModel('mamba_tiny', { scan: 'cross' }),
    'mamba_tiny of odd widths': () => pruned(createModel('mamba_tiny')),
    // Widths that have kernels of their own for training on Hopper.
    mamba_small: () => createModel('mamba_small', { depth: 2 }),
    'mamba_small of odd widths': () => pruned(createModel('mamba_small', { depth: 2 })),
    'mamba_small of 128': () => createModel('mamba_small', { depth: 2, dModel: 128 }),
    'mamba_small with two directions': () => createModel('mamba_small', { depth: 2, scan: 'bi' }),
    vim_nano: () => createModel('vim_nano'),
    'vim_nano of odd widths': () => pruned(createModel('vim_nano')),
    vit_tiny: () => createModel('vit_tiny'),
  };
  for (const [name, make] of Object.entries(models)) {
    it(`${name} has the logits, loss and gradients that it has on the CPU`, () => {
      scope(() => {
        manualSeed(1);
        const onCpu = make();
        const onGpu = createModelFromConfig(onCpu.config);
        onGpu.loadStateDict(onCpu.stateDict());
        onGpu.to(gpu);
        const [images, labels] = [randn([6, 3, 32, 32]), randint(0, 10, [6])];
        const expected = evaluate(onCpu, images, labels, 'cpu', 'float32');
        // float32: sums in another order. bfloat16: roundings of 2^-9 in every layer; measured 0.01 and 0.05 at most.
        const cases = [
          ['float32', undefined, 1e-4, 1e-3],
          ['bfloat16', undefined, 0.03, 0.1],
          ['bfloat16', 'bf16', 0.03, 0.1],
        ];
        for (const [dtype, copied, logits, gradients] of cases) {
          const copies = copied && weightCopies(onGpu, copied);
          const got = evaluate(onGpu, images, labels, gpu, dtype);
          copies?.dispose();
          const apart = [
            distance(got.logits, expected.logits),
            gradientDistance(got.gradients, expected.gradients),
          ];
          assert.ok(apart[0] <= logits, `${dtype}: logits ${apart[0]}, expected ${logits}`);
          assert.ok(
            apart[1] <= gradients,
            `${dtype}: gradients ${apart[1]}, expected ${gradients}`,
          );
          assert.ok(Math.abs(got.loss - expected.loss) < 0.02, `${dtype}: loss ${got.loss}`);
        }
      });
    });
  }

  it('all blocks as one operator give what they give one by one', () => {
    const config = { depth: 3 };
    const cross = { depth: 5, scan: 'cross' };
    const models = {
      'of 128': createModel('mamba_small', { ...config, dModel: 128 }),
      mamba_small: createModel('mamba_small', config),
      'mamba_small with two directions': createModel('mamba_small', { ...config, scan: 'bi' }),
      'mamba_small with four by turns': createModel('mamba_small', cross),
      'mamba_small of odd widths': pruned(createModel('mamba_small', config)),
    };
    for (const [name, model] of Object.entries(models)) {
      model.to(gpu).eval();
      const runs = kernels.hasFusedBlocks(
        zeros([1], { device: gpu, dtype: 'bfloat16' }),
        model.config.dModel,
      );
      // Too few images for all multiprocessors, two warpgroups a block, several tiles a block.
      for (const batch of [1, 7, 200, 600]) {
        scope(() => {
          manualSeed(batch);
          const images = randn([batch, 3, 32, 32], { device: gpu }).to('bfloat16');
          const [fixed, plain] = [true, false].map((fixed) => {
            const copies = weightCopies(model, 'bf16', { fixed });
            const logits = noGrad(() => model.forward(images));
            copies.dispose();
            return logits;
          });
          // Rounded at other places: 2^-9 a layer.
          const apart = distance(fixed, plain);
          assert.ok(apart < 0.02, `${name}, batch ${batch}: ${apart}`);
          if (runs) assert.ok(apart > 0, `${name}: the operator was not used`);
        });
      }
    }
  });

  for (const arch of ['mamba_tiny', 'vim_nano']) {
    it(`a captured step of ${arch} trains as the eager one does`, () => {
      const train = (captured) =>
        scope(() => {
          manualSeed(2);
          const model = createModel(arch).to(gpu);
          const optimizer = new optim.AdamW(model.parameters(), { lr: 1e-3 });
          optimizer.makeCapturable(zeros([], { device: gpu }).keep());
          const copies = weightCopies(model, 'bf16');
          const images = randn([32, 3, 32, 32], { device: gpu }).to('bfloat16');
          const labels = randint(0, 10, [32]).to(gpu);
          const last = zeros([], { device: gpu });
          const step = () =>
            scope(() => {
              optimizer.zeroGrad();
              const loss = F.crossEntropy(model.forward(images), labels);
              loss.backward();
              optimizer.launch();
              copies.refresh();
              noGrad(() => last.copy_(loss));
            });
          for (let i = 0; i < 3; i++) {
            step();
            optimizer.count();
          }
          const graph = captured ? CudaGraph.capture(gpu, step) : undefined;
          const losses = Array.from({ length: 10 }, () => {
            if (graph) graph.replay();
            else step();
            optimizer.count();
            return last.item();
          });
          optimizer.zeroGrad();
          graph?.dispose();
          copies.dispose();
          return losses;
        });
      const [eager, replayed] = [train(false), train(true)];
      assert.ok(eager[9] < eager[0] * 0.9, `the loss goes down: ${eager.join(', ')}`);
      // The kernels add in a fixed order; the product library may choose another algorithm.
      replayed.forEach((loss, i) =>
        assert.ok(Math.abs(loss - eager[i]) < 0.02, `step ${i}: ${loss}, ${eager[i]}`),
      );
    });
  }

  it('random numbers differ between the replays of one graph', () => {
    scope(() => {
      const noise = zeros([1000], { device: gpu });
      const graph = CudaGraph.capture(gpu, () =>
        scope(() => noise.copy_(randn([1000], { device: gpu }))),
      );
      graph.replay();
      const first = noise.clone();
      graph.replay();
      assert.ok(distance(noise, first) > 0.5);
      graph.dispose();
    });
  });
});
