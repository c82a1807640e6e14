import { describe, expect, it } from 'vitest';
import { exifOrientation } from './exif.js';
import { exifOf } from './testing/exif.js';

describe('the orientation in EXIF data', () => {
  // Read by Pillow 13.0 (Image.getexif, ImageOps.exif_transpose) out of files with these entries.
  it.each([
    ['SHORT', 3, [6, 0], 6],
    ['LONG', 4, [6], 6],
    ['SBYTE', 6, [6, 0, 0, 0], 6],
    ['SSHORT', 8, [6, 0], 6],
    ['SLONG', 9, [6], 6],
    ['BYTE', 1, [6, 0, 0, 0], undefined],
    ['ASCII', 2, [0x36, 0, 0, 0], undefined],
    ['UNDEFINED', 7, [6, 0, 0, 0], undefined],
    ['SHORT', 3, [9, 0], undefined],
    ['SHORT', 3, [0, 0], undefined],
  ] as const)('in a %s (type %i) of %j is %j', (_, type, value, expected) => {
    for (const isLittle of [true, false]) {
      const exif = exifOf(type, value, isLittle);
      expect(exifOrientation(exif)).toBe(expected);
      expect(exifOrientation(exif.subarray(6))).toBe(expected); // without `Exif` and two zeros
    }
  });

  it('is undefined where the data is cut off', () => {
    const whole = exifOf(3, [6, 0], true);
    for (let length = 0; length < 28; length++) {
      expect(exifOrientation(whole.subarray(0, length))).toBeUndefined();
    }
    expect(exifOrientation(whole)).toBe(6);
  });
});
