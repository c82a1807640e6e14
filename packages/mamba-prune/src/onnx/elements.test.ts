import { describe, expect, it } from 'vitest';
import { encodeElements, toFloat16Bits } from './elements.js';

/** The number that the bits of a float16 stand for (IEEE 754, binary16). */
function fromFloat16Bits(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >>> 10) & 31;
  const mantissa = half & 0x3ff;
  if (exponent === 31) return mantissa === 0 ? sign * Infinity : NaN;
  if (exponent === 0) return sign * mantissa * 2 ** -24;
  return sign * (1 + mantissa / 1024) * 2 ** (exponent - 15);
}

describe('toFloat16Bits', () => {
  it('gives every float16 number back', () => {
    const numbers = Array.from({ length: 0x10000 }, (_, half) => half).filter(
      (half) => !Number.isNaN(fromFloat16Bits(half)),
    );
    expect(numbers.filter((half) => toFloat16Bits(fromFloat16Bits(half)) !== half)).toEqual([]);
    expect(toFloat16Bits(NaN) & 0x7fff).toBe(0x7e00);
  });

  it('rounds to the nearest, ties to even', () => {
    const wrong: number[] = [];
    for (let half = 0; half < 0x7bff; half++) {
      const middle = (fromFloat16Bits(half) + fromFloat16Bits(half + 1)) / 2;
      const even = half % 2 === 0 ? half : half + 1;
      if (toFloat16Bits(middle) !== even || toFloat16Bits(-middle) !== (0x8000 | even)) {
        wrong.push(half);
      }
    }
    expect(wrong).toEqual([]);
    expect(toFloat16Bits(65519)).toBe(0x7bff);
    expect(toFloat16Bits(65520)).toBe(0x7c00);
    expect(toFloat16Bits(1e-9)).toBe(0);
  });
});

describe('encodeElements', () => {
  it('writes little-endian bytes of each type', () => {
    expect([...encodeElements('float32', [1.5])]).toEqual([0, 0, 0xc0, 0x3f]);
    expect([...encodeElements('float16', [1.5, -2])]).toEqual([0, 0x3e, 0, 0xc0]);
    expect([...encodeElements('int8', [-1, 127])]).toEqual([255, 127]);
    expect([...encodeElements('int64', [-2])]).toEqual([254, ...Array<number>(7).fill(255)]);
  });
});
