import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { frameOf, shorterSide } from './geometry.js';
import { type Picture, prepare, prepareBox, rgbOfCmyk } from './prepare.js';
import { type Preprocessing, preprocessingOf, preprocessingProblem } from './preprocessing.js';
import { preprocessingSchema } from './schema.js';

/** As in fixtures/pillow.py. */
function pictureOf(width: number, height: number, channels: 1 | 3): Picture {
  const data = Uint8Array.from({ length: width * height * channels }, (_, i) => {
    const c = i % channels;
    const x = Math.floor(i / channels) % width;
    const y = Math.floor(i / channels / width);
    const value = (x * x * 7 + y * y * 13 + x * y * 3 + c * 29) % 509;
    return value > 380 ? 255 : value < 90 ? 0 : Math.floor(value / 2);
  });
  return { data, width, height, channels };
}

interface Case extends Preprocessing {
  readonly width: number;
  readonly height: number;
  readonly given: 1 | 3;
  readonly channels: number;
  readonly size: number;
  readonly pixels: string;
}
const golden = JSON.parse(
  readFileSync(new URL('fixtures/pillow.json', import.meta.url), 'utf8'),
) as Case[];

describe('prepare', () => {
  it.each(golden)(
    'gives the bytes of Pillow 13: $width x $height of $given to $size of $channels, $interpolation, $cropShare',
    ({ width, height, given, pixels, ...way }) => {
      const got = prepare(pictureOf(width, height, given), way, way);
      expect([...got]).toEqual([...Buffer.from(pixels, 'base64')]);
    },
  );

  it('drops alpha, and does not blend it', () => {
    const rgb = pictureOf(9, 7, 3);
    const data = Uint8Array.from({ length: 9 * 7 * 4 }, (_, i) =>
      i % 4 === 3 ? i % 256 : (rgb.data[3 * Math.floor(i / 4) + (i % 4)] as number),
    );
    const way = { interpolation: 'bicubic', cropShare: 0.9 } as const;
    const input = { channels: 3, size: 5 };
    const rgba = { ...rgb, data, channels: 4 } as const;
    expect(prepare(rgba, input, way)).toEqual(prepare(rgb, input, way));
  });

  it('takes a picture of the model’s size as it is', () => {
    const picture = pictureOf(6, 6, 3);
    for (const cropShare of [1, 0.875, 0.5]) {
      const got = prepare(
        picture,
        { channels: 3, size: 6 },
        { interpolation: 'bilinear', cropShare },
      );
      expect(got[7]).toBe(picture.data[3 * 7]);
      expect(got[36 + 35]).toBe(picture.data[3 * 35 + 1]);
    }
  });

  it('makes grey by the luma of ITU-R BT.601', () => {
    const picture = {
      data: Uint8Array.of(255, 0, 0, 10, 20, 30),
      width: 2,
      height: 1,
      channels: 3,
    } as const;
    // 0.299 * 255; 0.299 * 10 + 0.587 * 20 + 0.114 * 30
    const grey = prepareBox(
      picture,
      { left: 0, top: 0, width: 1, height: 1 },
      { channels: 1, size: 1 },
      'bilinear',
    );
    const other = prepareBox(
      picture,
      { left: 1, top: 0, width: 1, height: 1 },
      { channels: 1, size: 1 },
      'bilinear',
    );
    expect([...grey, ...other]).toEqual([76, 18]);
  });

  it('keeps to little memory, however long the other side is', () => {
    const picture = {
      data: new Uint8Array(3 * 2_000_000).fill(9),
      width: 2_000_000,
      height: 1,
      channels: 3,
    } as const;
    const got = prepare(
      picture,
      { channels: 3, size: 224 },
      { interpolation: 'bicubic', cropShare: 0.5 },
    );
    expect(got.every((value) => value === 9)).toBe(true);
  });

  it('stretches a box to the square', () => {
    const picture = pictureOf(12, 10, 3);
    const box = { left: 3, top: 2, width: 4, height: 4 };
    const got = prepareBox(picture, box, { channels: 3, size: 4 }, 'bilinear');
    expect(got[0]).toBe(picture.data[3 * (2 * 12 + 3)]);
    expect(got[15]).toBe(picture.data[3 * (5 * 12 + 6)]);
  });

  it('turns CMYK into RGB by Pillow’s formula', () => {
    // Of Pillow 13: Image.new('CMYK', (1, 1), ...).convert('RGB')
    const cmyk = Uint8Array.of(0, 0, 0, 0, 255, 0, 0, 0, 100, 150, 200, 50, 10, 20, 30, 255);
    expect([...rgbOfCmyk(cmyk)]).toEqual([255, 255, 255, 0, 255, 255, 125, 84, 44, 0, 0, 0]);
  });
});

describe('sizes', () => {
  it('are rounded as torchvision’s Resize and CenterCrop round them', () => {
    expect(shorterSide(224, 0.875)).toBe(256);
    expect(shorterSide(32, 0.875)).toBe(36);
    expect(shorterSide(224, 0.9)).toBe(248);
    // int(256 * 500 / 333) is 384, and the corner (384 - 224) / 2
    expect(frameOf(500, 333, 224, 0.875)).toEqual({ width: 384, height: 256, left: 80, top: 16 });
    expect(frameOf(333, 500, 224, 0.875)).toEqual({ width: 256, height: 384, left: 16, top: 80 });
    // Halves go to the even number: 0.5 to 0, 1.5 to 2.
    expect(frameOf(9, 8, 8, 1)).toMatchObject({ left: 0, top: 0 });
    expect(frameOf(11, 8, 8, 1)).toMatchObject({ left: 2, top: 0 });
  });
});

describe('a model whose file has no record', () => {
  const without = (dataset: string | undefined, size: number) => {
    const { interpolation, cropShare } = preprocessingOf({ dataset }, size);
    return [interpolation, shorterSide(size, cropShare)];
  };
  it('is taken as eval took it', () => {
    expect(without('cifar10', 32)).toEqual(['bilinear', 32]);
    expect(without('tiny-imagenet', 64)).toEqual(['bilinear', 64]);
    expect(without('imagenet', 224)).toEqual(['bilinear', 256]);
    expect(preprocessingOf({ dataset: 'imagenet' }, 224).cropShare).toBe(0.875);
    for (let size = 1; size <= 4096; size++) {
      expect(without('folder', size)).toEqual(['bilinear', Math.round(size / 0.875)]);
      expect(without(undefined, size)).toEqual(['bilinear', Math.round(size / 0.875)]);
    }
  });

  it('and one that has it is taken at its word', () => {
    const preprocessing = { interpolation: 'bicubic', cropShare: 0.96 } as const;
    expect(preprocessingOf({ dataset: 'cifar10', preprocessing }, 32)).toEqual(preprocessing);
  });
});

describe('what was given', () => {
  it.each([
    [{ interpolation: 'lanczos' }, '`interpolation`: got "lanczos", expected bilinear or bicubic.'],
    [{ cropShare: 0 }, '`cropShare`: got 0, expected a number from 0.01 to 1.'],
    [{ cropShare: 1.5 }, '`cropShare`: got 1.5, expected a number from 0.01 to 1.'],
    [{ cropShare: NaN }, '`cropShare`: got NaN, expected a number from 0.01 to 1.'],
    [{ cropShare: '0.9' }, '`cropShare`: got "0.9", expected a number from 0.01 to 1.'],
    [{ interpolation: 'bicubic', cropShare: 0.9 }, undefined],
    [{}, undefined],
  ])('is checked: %j', (given, problem) => {
    expect(preprocessingProblem(given)).toBe(problem);
    const whole = { interpolation: 'bilinear', cropShare: 1, ...given };
    expect(preprocessingSchema.safeParse(whole).success).toBe(problem === undefined);
  });
});
