// Which weights a model reads in low precision, on any processor: the matrices stay float32 here, so that nothing is rounded.
import { type Tensor, manualSeed, memoryStats, noGrad, randn, scope } from '@mamba-prune/libtorch';
import type * as kernels from '@mamba-prune/libtorch/kernels';
import { describe, expect, it, vi } from 'vitest';
import { createModel } from '../registry.js';

vi.mock('@mamba-prune/libtorch/kernels', async (load) => {
  const real = await load<typeof kernels>();
  const packProduct: typeof kernels.packProduct = (matrix) => matrix.clone();
  // The block of a ViT takes no plain matrices.
  const inPanels = (matrix: Tensor) =>
    matrix.ndim === 2 ? real.packWeights(matrix.unsqueeze(0)) : matrix;
  const vitBlock: typeof kernels.vitBlock = (x, { qkv, proj, fc1, fc2, ...others }, sizes) =>
    scope(() => {
      const [a, b, c, d] = [qkv, proj, fc1, fc2].map(inPanels) as [Tensor, Tensor, Tensor, Tensor];
      return real.vitBlock(x, { qkv: a, proj: b, fc1: c, fc2: d, ...others }, sizes);
    });
  const productsMissing: typeof kernels.productsMissing = (precision) =>
    precision === 'bf16' ? 'the patches stay float32' : undefined;
  return { ...real, packProduct, productsMissing, vitBlock };
});

describe('a model in low precision', () => {
  for (const [arch, sizes] of [
    ['mamba_nano', {}],
    ['vim_nano', {}],
    ['vit_tiny', { patchSize: 4, depth: 2 }],
  ] as const) {
    it(`${arch} computes with the weights that it has, and with those that it gets`, () => {
      scope(() => {
        noGrad(() => {
          manualSeed(1);
          const model = createModel(arch, { imageSize: 16, ...sizes });
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

  it.each([
    // In_proj, x_proj, out_proj, fc1 and fc2; a Vim has no MLP, and an x_proj for each direction; a ViT has qkv and proj.
    ['mamba_nano', 5, {}],
    ['vim_nano', 4, {}],
    ['vit_tiny', 4, { patchSize: 4, depth: 2 }],
  ] as const)('%s has its matrices in memory in that alone', (arch, ofBlock, sizes) => {
    scope(() => {
      const model = createModel(arch, { imageSize: 16, ...sizes }).eval();
      const blocks = (model.config as { depth?: number }).depth ?? 0;
      const values = () => [...model.stateDict().values()].map((weight) => weight.toNumbers());
      const lent = () => model.parameters().filter(({ isLent }) => isLent);
      const expected = values();
      const images = randn([1, 3, 16, 16]);
      const infer = () => {
        scope(() => void noGrad(() => model.forward(images)));
      };
      const before = memoryStats();
      infer(); // leaves panels
      const products = model.multiplyIn?.('int8');
      expect(memoryStats(), 'no panels').toEqual(before);
      for (let i = 0; i < 2; i++) products?.run(infer);
      expect(lent()).toHaveLength(ofBlock * blocks);
      products?.dispose();
      const filed = lent().reduce((sum, { numel }) => sum + 4 * numel, 0);
      expect(before.bytes - memoryStats().bytes).toBe(filed);
      expect(values()).toEqual(expected);
      expect(memoryStats()).toEqual(before);

      const again = model.multiplyIn?.('int8');
      again?.run(infer);
      expect(lent()).toHaveLength(ofBlock * blocks);
      infer(); // in float32 too: panels
      again?.run(infer);
      expect(lent()).toHaveLength(ofBlock * blocks);
      again?.dispose();
      model.train();
      expect(lent()).toHaveLength(0);
      expect(memoryStats()).toEqual(before);
      expect(values()).toEqual(expected);
    });
  });
});
