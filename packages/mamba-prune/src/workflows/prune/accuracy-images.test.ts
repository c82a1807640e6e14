import { describe, expect, it } from 'vitest';
import { accuracyImages } from './accuracy-images.js';

describe('the images that a cut is measured on', () => {
  it('are as many as take half a minute, in whole batches, and one batch at least', () => {
    // The quickstart's model at 28 px: more than the 10,000 that there are.
    expect(accuracyImages(8e6)).toBeGreaterThan(10_000);
    // 0.35 G: 6e11 / 0.35e9 = 1714 images, which are 6 batches of 256.
    expect(accuracyImages(0.35e9)).toBe(6 * 256);
    expect(accuracyImages(4.6e9)).toBe(256);
    expect(accuracyImages(1e15)).toBe(256);
    expect(accuracyImages(0)).toBeGreaterThan(1e9);
  });
});
