import { describe, expect, it } from 'vitest';
import { drawCropBox, drawErasedBox } from './crop-box.js';
import { Random, Stage } from './random.js';

const empty = () => ({ left: 0, top: 0, width: 0, height: 0 });

describe('drawCropBox', () => {
  it('keeps area and shape within the limits and the box within the image', () => {
    const random = new Random().seed(1, Stage.resizedCrop);
    const areas: number[] = [];
    for (let i = 0; i < 2000; i++) {
      const box = drawCropBox(random, 300, 200, [0.2, 0.8], [0.5, 2], empty());
      expect(box.left >= 0 && box.top >= 0).toBe(true);
      expect(box.left + box.width <= 300 && box.top + box.height <= 200).toBe(true);
      const area = (box.width * box.height) / 60_000;
      areas.push(area);
      // Sides are rounded to whole pixels: 1 % is more than that can matter here.
      expect(area).toBeGreaterThan(0.2 * 0.99);
      expect(area).toBeLessThan(0.8 * 1.01);
      expect(box.width / box.height).toBeGreaterThan(0.5 * 0.99);
      expect(box.width / box.height).toBeLessThan(2 * 1.01);
    }
    expect(Math.min(...areas)).toBeLessThan(0.22);
    expect(Math.max(...areas)).toBeGreaterThan(0.7);
  });

  it('falls back to the largest central box if no draw fits', () => {
    const random = new Random().seed(1, Stage.resizedCrop);
    const box = drawCropBox(random, 1000, 10, [0.9, 1], [1, 1], empty());
    expect(box).toEqual({ left: 495, top: 0, width: 10, height: 10 });
  });
});

describe('drawErasedBox', () => {
  it('keeps area and shape within the ranges of random erasing, and the box within the image', () => {
    const random = new Random().seed(1, Stage.erasing);
    const areas: number[] = [];
    for (let i = 0; i < 2000; i++) {
      const box = empty();
      expect(drawErasedBox(random, { width: 300, height: 200 }, box)).toBe(true);
      expect(box.left >= 0 && box.top >= 0).toBe(true);
      expect(box.left + box.width <= 300 && box.top + box.height <= 200).toBe(true);
      areas.push((box.width * box.height) / 60_000);
      // Sides are rounded to whole pixels, of which the shortest has 18: 3% each.
      expect(box.height / box.width).toBeGreaterThan(0.3 * 0.94);
      expect(box.height / box.width).toBeLessThan((1 / 0.3) * 1.06);
    }
    expect(Math.min(...areas)).toBeGreaterThan(0.02 * 0.94);
    expect(Math.max(...areas)).toBeLessThan((1 / 3) * 1.03);
    expect(Math.max(...areas)).toBeGreaterThan(0.3);
  });

  it('gives up where nothing fits', () => {
    expect(drawErasedBox(new Random().seed(1, 1), { width: 1, height: 1 }, empty())).toBe(false);
  });
});
