// A Vim without gradients, whose layers are one operator each, against the same model with gradients.
import { F, type Tensor, manualSeed, noGrad, randn, scope } from '@mamba-prune/libtorch';
import type * as kernels from '@mamba-prune/libtorch/kernels';
import { describe, expect, it, vi } from 'vitest';
import type { ModelOptions } from '../model-options.js';
import { createModel } from '../registry.js';
import { relativeDifference } from '../testing/parity.js';

/** How many layers were one operator. */
const layers = vi.hoisted(() => ({ fused: 0 }));

vi.mock('@mamba-prune/libtorch/kernels', async (load) => {
  const real = await load<typeof kernels>();
  const vimBlock: typeof kernels.vimBlock = (...given) => {
    layers.fused++;
    return real.vimBlock(...given);
  };
  return { ...real, vimBlock };
});

const sizes = { dModel: 24, depth: 3, dState: 5, imageSize: 20, patchSize: 8, numClasses: 4 };

// The order of the sums differs: some tens of float32 roundings of 6e-8 over three layers.
const rounding = 5e-6;

function make(options: ModelOptions = {}) {
  manualSeed(0);
  const model = createModel('vim_nano', { ...sizes, stride: 4, ...options });
  noGrad(() => {
    for (const parameter of model.parameters()) parameter.add_(randn(parameter.shape).mul(0.1));
  });
  return model.eval();
}
type Model = ReturnType<typeof make>;

const images = (count: number): Tensor => randn([count, 3, 20, 20]);
const fused = (model: Model, x: Tensor): Tensor => noGrad(() => model.forward(x));
function fusedLayers(run: () => unknown): number {
  layers.fused = 0;
  run();
  return layers.fused;
}
const plain = (model: Model, x: Tensor): Tensor => model.forward(x).detach();

describe('a Vim for inference on the CPU', () => {
  it.each([1, 2, 3, 17])('gives the same logits for %i images, dense and pruned', (count) => {
    scope(() => {
      const dense = make();
      // About a third of every group, so that no width is a multiple of a register.
      const widths = dense
        .pruningGroups()
        .map(({ name, size }) => [name, Math.ceil(size * 0.37)] as const);
      for (const model of [dense, dense.withWidths(Object.fromEntries(widths)).eval()]) {
        const x = images(count);
        expect(relativeDifference(fused(model, x), plain(model, x))).toBeLessThan(rounding);
        // Not the same operators: else this compared nothing.
        expect(fusedLayers(() => fused(model, x))).toBe(3);
        expect(fusedLayers(() => plain(model, x))).toBe(0);
      }
    });
  });

  it('sees every change of a parameter', () => {
    scope(() => {
      const model = make();
      const x = images(3);
      for (const [name, weight] of model.namedParameters()) {
        const before = fused(model, x);
        noGrad(() => weight.add_(randn(weight.shape).mul(0.05)));
        const after = fused(model, x);
        expect(relativeDifference(after, plain(model, x)), name).toBeLessThan(rounding);
        expect(after.equal(before), name).toBe(false);
      }
    });
  });

  it('goes operator by operator for a probe, in training, in float64 and for more taps than the kernels take', () => {
    scope(() => {
      const model = make();
      const x = images(2);
      const seen: string[] = [];
      const probed = noGrad(() => model.forward(x, { output: (group) => seen.push(group) }));
      expect(seen).toEqual(['layers.0.ssm', 'layers.1.ssm', 'layers.2.ssm']);
      expect(probed.equal(plain(model, x))).toBe(true);
      const wide = make({ dConv: F.kernelLimits.convTaps + 1 });
      const single = fusedLayers(() => {
        noGrad(() => model.forward(x, {}));
        model.train();
        fused(model, x);
        model.eval().to('float64');
        fused(model, x.to('float64'));
        fused(wide, x);
      });
      expect(single).toBe(0);
    });
  });
});
