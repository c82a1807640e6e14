// Which weights a model reads in low precision, on any processor: the matrices stay float32 here, so that nothing is rounded.
import { manualSeed, noGrad, randn, scope } from '@mamba-prune/libtorch';
import { describe, expect, it, vi } from 'vitest';
import { createModel } from '../registry.js';

vi.mock('@mamba-prune/libtorch/kernels', async (original) => ({
  ...(await original<typeof import('@mamba-prune/libtorch/kernels')>()),
  packProduct: (matrix: { clone(): unknown }) => matrix.clone(),
  productsMissing: (precision: string) =>
    precision === 'bf16' ? 'the patches stay float32' : undefined,
}));

describe('a model in low precision', () => {
  for (const arch of ['mamba_nano', 'vim_nano'] as const) {
    it(`${arch} computes with the weights that it has, and with those that it gets`, () => {
      scope(() => {
        noGrad(() => {
          manualSeed(1);
          const model = createModel(arch, { imageSize: 16 });
          model.eval();
          const images = randn([2, 3, 16, 16]);
          const products = model.multiplyIn?.('int8');
          const off = (): number => {
            const exact = model.forward(images);
            const low = products?.run(() => model.forward(images));
            return low ? low.sub(exact).abs().amax().item() / exact.abs().amax().item() : NaN;
          };
          expect(off()).toBeLessThan(1e-4);
          for (const weight of model.parameters()) weight.mul_(1.1);
          expect(off()).toBeLessThan(1e-4);
          products?.dispose();
        });
      });
    });
  }
});
