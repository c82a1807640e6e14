import { describe, expect, it } from 'vitest';
import * as colours from './colour.js';
import type { ImageShape } from './shape.js';

const grey = (height: number, width: number): ImageShape => ({
  channels: 1,
  height,
  width,
  fill: Uint8Array.of(0),
});
const rgb = (height: number, width: number): ImageShape => ({
  channels: 3,
  height,
  width,
  fill: Uint8Array.of(0, 0, 0),
});
const done = (image: number[], run: (image: Uint8Array) => void): number[] => {
  const bytes = Uint8Array.from(image);
  run(bytes);
  return [...bytes];
};

describe('colour operations', () => {
  it('invert', () => {
    expect(
      done([0, 100, 255], (x) => {
        colours.invert(x, grey(1, 3));
      }),
    ).toEqual([255, 155, 0]);
  });

  it('posterize keeps the highest bits', () => {
    expect(
      done([255, 17, 128], (x) => {
        colours.posterize(x, grey(1, 3), 4);
      }),
    ).toEqual([240, 16, 128]);
    expect(
      done([255, 17], (x) => {
        colours.posterize(x, grey(1, 2), 8);
      }),
    ).toEqual([255, 17]);
  });

  it('solarize inverts from the threshold on', () => {
    expect(
      done([99, 100, 255], (x) => {
        colours.solarize(x, grey(1, 3), 100);
      }),
    ).toEqual([99, 155, 0]);
    expect(
      done([0, 255], (x) => {
        colours.solarize(x, grey(1, 2), 256);
      }),
    ).toEqual([0, 255]);
    expect(
      done([0, 255], (x) => {
        colours.solarize(x, grey(1, 2), 0);
      }),
    ).toEqual([255, 0]);
  });

  it('autocontrast stretches each channel on its own and leaves flat ones', () => {
    expect(
      done([50, 100, 150, 7, 7, 7, 0, 51, 255], (x) => {
        colours.autocontrast(x, rgb(1, 3));
      }),
    ).toEqual([0, 128, 255, 7, 7, 7, 0, 51, 255]);
  });

  it('equalize gives 256 even levels from 512 skewed ones, and leaves tiny images', () => {
    // 512 pixels of value 0..127, four each: the last four leave (512 - 4) / 255 = step 1.
    const skewed = Array.from({ length: 512 }, (_, i) => i >> 2);
    const out = done(skewed, (x) => {
      colours.equalize(x, grey(16, 32));
    });
    // Pillow's rule: level = (step / 2 + pixels below) / step = 4 v, at most 255.
    expect(out).toEqual(skewed.map((v) => Math.min(255, 4 * v)));
    expect(
      done([3, 5, 9], (x) => {
        colours.equalize(x, grey(1, 3));
      }),
    ).toEqual([3, 5, 9]);
  });

  it('brightness scales and stays within a byte', () => {
    expect(
      done([0, 100, 200], (x) => {
        colours.brightness(x, grey(1, 3), 1.5);
      }),
    ).toEqual([0, 150, 255]);
    expect(
      done([0, 100, 200], (x) => {
        colours.brightness(x, grey(1, 3), 0);
      }),
    ).toEqual([0, 0, 0]);
  });

  it('contrast moves values away from the mean grey', () => {
    expect(
      done([50, 100, 150], (x) => {
        colours.contrast(x, grey(1, 3), 2);
      }),
    ).toEqual([0, 100, 200]);
    expect(
      done([50, 100, 150], (x) => {
        colours.contrast(x, grey(1, 3), 0);
      }),
    ).toEqual([100, 100, 100]);
    // ITU-R 601: a pure green image of 100 has grey 59.
    expect(
      done([0, 100, 0], (x) => {
        colours.contrast(x, rgb(1, 1), 0);
      }),
    ).toEqual([59, 59, 59]);
  });

  it('colour goes from grey to oversaturated, and does nothing to one channel', () => {
    expect(
      done([0, 100, 0], (x) => {
        colours.colour(x, rgb(1, 1), 0);
      }),
    ).toEqual([59, 59, 59]);
    expect(
      done([0, 100, 0], (x) => {
        colours.colour(x, rgb(1, 1), 1);
      }),
    ).toEqual([0, 100, 0]);
    expect(
      done([20, 100, 30], (x) => {
        colours.colour(x, rgb(1, 1), 2);
      }),
    ).toEqual([0, 132, 0]);
    expect(
      done([20, 100], (x) => {
        colours.colour(x, grey(1, 2), 0);
      }),
    ).toEqual([20, 100]);
  });

  it('sharpness blends with the 3x3 smoothed image and keeps the border', () => {
    const image = Uint8Array.of(0, 0, 0, 0, 130, 0, 0, 0, 13);
    const out = new Uint8Array(9);
    colours.sharpness(image, out, grey(3, 3), 0);
    expect([...out]).toEqual([0, 0, 0, 0, 51, 0, 0, 0, 13]); // (5 * 130 + 13) / 13
    colours.sharpness(image, out, grey(3, 3), 2);
    expect(out[4]).toBe(209); // 51 + 2 * 79
    colours.sharpness(image, out, grey(3, 3), 1);
    expect(out).toEqual(image);
  });
});
