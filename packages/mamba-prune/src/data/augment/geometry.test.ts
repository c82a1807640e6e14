import { describe, expect, it } from 'vitest';
import { cutout, flipHorizontally, shiftImage } from './basic.js';
import { resizeBox, rotate, shear, translate, warpAffine } from './geometry.js';
import { type ImageShape, imageShape } from './shape.js';

const three: ImageShape = { channels: 1, height: 3, width: 3, fill: Uint8Array.of(99) };
const nine = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9);
const drawn = (run: (out: Uint8Array) => void, size = 9): number[] => {
  const out = new Uint8Array(size);
  run(out);
  return [...out];
};

describe('shiftImage', () => {
  it('moves the picture and fills with the mean colour', () => {
    expect(
      drawn((out) => {
        shiftImage(nine, out, three, 1, 0);
      }),
    ).toEqual([2, 3, 99, 5, 6, 99, 8, 9, 99]);
    expect(
      drawn((out) => {
        shiftImage(nine, out, three, -2, -1);
      }),
    ).toEqual([99, 99, 99, 99, 99, 1, 99, 99, 4]);
    expect(
      drawn((out) => {
        shiftImage(nine, out, three, 0, 0);
      }),
    ).toEqual([...nine]);
    for (const far of [3, -3, 5, -5]) {
      expect(
        drawn((out) => {
          shiftImage(nine, out, three, far, 0);
        }),
      ).toEqual(new Array(9).fill(99));
    }
  });
});

describe('flipHorizontally', () => {
  it('mirrors every row of every channel', () => {
    const image = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12);
    flipHorizontally(image, { channels: 2, height: 2, width: 3, fill: Uint8Array.of(0, 0) });
    expect([...image]).toEqual([3, 2, 1, 6, 5, 4, 9, 8, 7, 12, 11, 10]);
  });
});

describe('cutout', () => {
  it('fills a square, cut off at the border', () => {
    const cut = (x: number, y: number, side: number) => {
      const image = nine.slice();
      cutout(image, three, x, y, side);
      return [...image];
    };
    expect(cut(1, 1, 1)).toEqual([1, 2, 3, 4, 99, 6, 7, 8, 9]);
    expect(cut(0, 0, 2)).toEqual([99, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(cut(2, 2, 2)).toEqual([1, 2, 3, 4, 99, 99, 7, 99, 99]);
    expect(cut(1, 1, 6)).toEqual(new Array(9).fill(99));
  });
});

describe.each(['bilinear', 'nearest'] as const)('affine maps, %s', (sampling) => {
  it('turn by quarter turns exactly, counter-clockwise', () => {
    expect(
      drawn((out) => {
        rotate(nine, out, three, sampling, 0);
      }),
    ).toEqual([...nine]);
    const quarter = drawn((out) => {
      rotate(nine, out, three, sampling, 90);
    });
    expect(quarter).toEqual([3, 6, 9, 2, 5, 8, 1, 4, 7]);
    const half = drawn((out) => {
      rotate(nine, out, three, sampling, 180);
    });
    expect(half).toEqual([9, 8, 7, 6, 5, 4, 3, 2, 1]);
  });

  it('shear around the centre', () => {
    expect(
      drawn((out) => {
        shear(nine, out, three, sampling, 1, 0);
      }),
    ).toEqual([99, 1, 2, 4, 5, 6, 8, 9, 99]);
    expect(
      drawn((out) => {
        shear(nine, out, three, sampling, 0, 1);
      }),
    ).toEqual([99, 2, 6, 1, 5, 9, 4, 8, 99]);
  });

  it('translate and fill', () => {
    expect(
      drawn((out) => {
        translate(nine, out, three, sampling, 0, 1);
      }),
    ).toEqual([4, 5, 6, 7, 8, 9, 99, 99, 99]);
    expect(
      drawn((out) => {
        translate(nine, out, three, sampling, -9, 0);
      }),
    ).toEqual(new Array(9).fill(99));
  });
});

describe('warpAffine', () => {
  it('weighs the four neighbours, the fill colour included', () => {
    const shape: ImageShape = { channels: 1, height: 2, width: 2, fill: Uint8Array.of(200) };
    const image = Uint8Array.of(0, 100, 40, 80);
    const out = new Uint8Array(4);
    warpAffine(image, out, shape, 'bilinear', 1, 0, 0.5, 0, 1, 0.25);
    // (0.5, 0.25): 0.75 * (0 + 100) / 2 + 0.25 * (40 + 80) / 2 = 52.5, rounded up
    // (1.5, 0.25): 0.75 * (100 + 200) / 2 + 0.25 * (80 + 200) / 2 = 147.5
    // (0.5, 1.25): 0.75 * (40 + 80) / 2 + 0.25 * 200 = 95
    // (1.5, 1.25): 0.75 * (80 + 200) / 2 + 0.25 * 200 = 155
    expect([...out]).toEqual([53, 148, 95, 155]);
    warpAffine(image, out, shape, 'nearest', 1, 0, 0.4, 0, 1, 0.6);
    expect([...out]).toEqual([40, 80, 200, 200]);
  });
});

describe('resizeBox', () => {
  it('gives the image itself for the whole box', () => {
    const whole = { left: 0, top: 0, width: 3, height: 3 };
    expect(
      drawn((out) => {
        resizeBox(nine, out, three, whole);
      }),
    ).toEqual([...nine]);
  });

  it('enlarges a part without looking beyond it', () => {
    const shape: ImageShape = { channels: 1, height: 4, width: 4, fill: Uint8Array.of(0) };
    const image = new Uint8Array(16).fill(255);
    image.set([10, 20], 5);
    image.set([30, 40], 9);
    const out = drawn((o) => {
      resizeBox(image, o, shape, { left: 1, top: 1, width: 2, height: 2 });
    }, 16);
    // Positions 0.75, 1.25, 1.75, 2.25 less 0 kept within the box: weights 0, 1/4, 3/4, 1.
    expect(out.slice(0, 4)).toEqual([10, 13, 18, 20]);
    expect(out.slice(12)).toEqual([30, 33, 38, 40]);
    expect(
      drawn((o) => {
        resizeBox(image, o, shape, { left: 2, top: 2, width: 1, height: 1 });
      }, 16),
    ).toEqual(new Array(16).fill(40));
  });
});

describe('imageShape', () => {
  it('fills with the mean colour', () => {
    const shape = imageShape({ channels: 3, height: 2, width: 2, mean: [0.5, 0, 1] });
    expect([...shape.fill]).toEqual([128, 0, 255]);
  });
});
