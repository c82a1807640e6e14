import { nn, randn, scope, type Tensor } from '@mamba-prune/libtorch';
import { describe, expect, it } from 'vitest';
import { embedByProduct, embedPatches } from './patches.js';

describe('patches of images', () => {
  it.each([
    { channels: 3, patch: 4, shape: [2, 3, 8, 12] },
    { channels: 1, patch: 7, shape: [3, 1, 14, 28] },
  ])('are the same by a product as by a convolution: $shape', ({ channels, patch, shape }) => {
    scope(() => {
      const embedding = new nn.Conv2d(channels, 10, patch, { stride: patch });
      const images = randn(shape);
      const grad = randn([
        shape[0] as number,
        ((shape[2] as number) * (shape[3] as number)) / patch ** 2,
        10,
      ]);
      const of = (embed: (images: Tensor, embedding: nn.Conv2d) => Tensor) => {
        for (const parameter of embedding.parameters()) parameter.grad = null;
        const tokens = embed(images, embedding);
        tokens.mul(grad).sum().backward();
        return [tokens, ...embedding.parameters().map((parameter) => parameter.grad as Tensor)];
      };
      const [byConvolution, byProduct] = [of(embedPatches), of(embedByProduct)];
      byConvolution.forEach((wanted, i) => {
        const got = byProduct[i] as Tensor;
        expect(got.shape).toEqual(wanted.shape);
        // Sums of at most 49 terms in another order.
        expect(got.sub(wanted).norm().item()).toBeLessThan(1e-6 * wanted.norm().item() + 1e-6);
      });
    });
  });
});
