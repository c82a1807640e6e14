import { describe, expect, it } from 'vitest';
import { copyStrided, isRowMajor } from './strided.js';

/** The definition, element by element. */
function expected(values: number[], shape: number[], strides: number[]): number[] {
  let offsets = [0];
  shape.forEach((size, d) => {
    offsets = offsets.flatMap((o) =>
      Array.from({ length: size }, (_, k) => o + k * (strides[d] ?? 0)),
    );
  });
  return offsets.map((o) => values[o] ?? NaN);
}

describe('copyStrided', () => {
  const layouts: [shape: number[], strides: number[]][] = [
    [[], []],
    [[5], [2]],
    [
      [4, 3],
      [1, 4],
    ],
    [
      [3, 4],
      [4, 1],
    ],
    [
      [2, 3, 4],
      [1, 8, 2],
    ],
    [
      [2, 1, 3],
      [3, 99, 1],
    ],
    [
      [3, 2],
      [0, 5],
    ],
    [
      [1, 1],
      [7, 7],
    ],
    [
      [2, 2, 2, 2],
      [1, 2, 4, 8],
    ],
  ];
  const arrays = {
    1: Uint8Array,
    2: Uint16Array,
    4: Uint32Array,
    8: Float64Array,
  } as const;
  it.each(layouts)('follows the definition for shape %j and strides %j', (shape, strides) => {
    const values = Array.from({ length: 24 }, (_, k) => k + 1);
    for (const [itemSize, Type] of Object.entries(arrays)) {
      const span = new Uint8Array(new Type(values).buffer);
      const copy = copyStrided(span, shape, strides, Number(itemSize));
      expect([...new Type(copy.buffer)]).toEqual(expected(values, shape, strides));
    }
  });

  it('keeps the payload of a NaN', () => {
    const bits = new BigUint64Array([0x7ff4_0000_dead_beefn, 1n]);
    const copy = copyStrided(new Uint8Array(bits.buffer), [2, 1], [1, 2], 8);
    expect([...new BigUint64Array(copy.buffer)]).toEqual([...bits]);
  });
});

describe('isRowMajor', () => {
  it('ignores the strides of dimensions of size 1', () => {
    expect(isRowMajor([2, 1, 3], [3, 99, 1])).toBe(true);
    expect(isRowMajor([], [])).toBe(true);
    expect(isRowMajor([2, 3], [1, 2])).toBe(false);
    expect(isRowMajor([2, 3], [4, 1])).toBe(false);
  });
});
