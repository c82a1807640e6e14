// Patches by a product in low precision, beside the same product over pixels that were gathered in JavaScript.
import { describe, expect, it } from 'vitest';
import {
  type Tensor,
  fromTypedArray,
  getNumThreads,
  manualSeed,
  randn,
  scope,
  setNumThreads,
  zeros,
} from '../index.js';
import { lowLinear, lowPatches, packProduct, productsMissing } from './low-precision.js';

const numbers = (tensor: Tensor): number[] => tensor.reshape(tensor.numel).toNumbers();

/** Patches apart and overlapping, images that they do not fill, more of them than a thread takes at a time (96). */
const cases = [
  { shape: [2, 3, 8, 12], patch: 4, stride: 4 },
  { shape: [3, 1, 15, 9], patch: 7, stride: 2 },
  { shape: [1, 2, 5, 5], patch: 5, stride: 3 },
  { shape: [5, 3, 21, 20], patch: 3, stride: 3 },
] as const;

/** @returns shape [batch, patches, channels * patch * patch] */
function gathered(images: Tensor, patch: number, stride: number): Tensor {
  const [batch, channels, height, width] = images.shape as [number, number, number, number];
  const pixels = numbers(images);
  const all: number[] = [];
  let patches = 0;
  for (let image = 0; image < batch; image++) {
    patches = 0;
    for (let top = 0; top + patch <= height; top += stride) {
      for (let left = 0; left + patch <= width; left += stride, patches++) {
        for (let c = 0; c < channels; c++) {
          for (let y = 0; y < patch; y++) {
            const at = ((image * channels + c) * height + top + y) * width + left;
            all.push(...pixels.slice(at, at + patch));
          }
        }
      }
    }
  }
  return fromTypedArray(Float32Array.from(all), [batch, patches, channels * patch ** 2]);
}

for (const precision of ['bf16', 'int8'] as const) {
  const missing = productsMissing(precision);
  const skipped = missing === undefined ? '' : ` (skipped: ${missing})`;
  describe.skipIf(missing !== undefined)(`patches in ${precision}${skipped}`, () => {
    it('are the product over their pixels, bit for bit, whatever the number of threads', () => {
      const threads = getNumThreads();
      try {
        scope(() => {
          manualSeed(3);
          for (const { shape, patch, stride } of cases) {
            const images = randn(shape);
            const packed = packProduct(randn([37, shape[1] * patch ** 2]), precision);
            const bias = randn([37]);
            const pixels = gathered(images, patch, stride);
            for (const of of [bias, null]) {
              const wanted = lowLinear(pixels, packed, { bias: of });
              for (const count of [1, 2, 3]) {
                setNumThreads(count);
                const got = lowPatches(images, packed, of, { patch, stride });
                expect(got.shape).toEqual(wanted.shape);
                expect(numbers(got)).toEqual(numbers(wanted));
              }
            }
          }
        });
      } finally {
        setNumThreads(threads);
      }
    });

    it('refuse what does not fit', () => {
      scope(() => {
        const packed = packProduct(randn([4, 12]), precision);
        const of = (shape: number[], patch: number, stride = patch): Tensor =>
          lowPatches(zeros(shape), packed, null, { patch, stride });
        expect(of([0, 3, 4, 4], 2).shape).toEqual([0, 4, 4]);
        expect(() => of([1, 3, 1, 4], 2)).toThrow(/a patch that fits into an image/);
        expect(() => of([1, 3, 4, 4], 0, 1)).toThrow(/expected positive numbers/);
        expect(() => of([1, 3, 4, 4], 2, 0)).toThrow(/expected positive numbers/);
        expect(() => of([1, 2, 4, 4], 2)).toThrow(/got weight \[4, 12\].*\[4, 8\]/);
        expect(() => of([3, 4, 4], 2)).toThrow(/\[batch, channels, height, width\]/);
        expect(() =>
          lowPatches(zeros([1, 3, 4, 4]), packed, zeros([5]), { patch: 2, stride: 2 }),
        ).toThrow(/bias of shape \[5\]/);
      });
    });
  });
}
