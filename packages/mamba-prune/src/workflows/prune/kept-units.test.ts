import { describe, expect, it } from 'vitest';
import { composeKept, decodeUnits, encodeKept, encodeUnits, keptInHistory } from './kept-units.js';

describe('kept units', () => {
  it.each([
    [[], ''],
    [[4], '4'],
    [[0, 1, 2, 3, 7, 9, 10], '0-3,7,9-10'],
  ])('%j are stored as %j', (units, text) => {
    expect(encodeUnits(units)).toBe(text);
    expect(decodeUnits(text)).toEqual(units);
  });

  it('refuses other texts', () => {
    expect(() => decodeUnits('1,b')).toThrow("got 'b'");
    expect(() => decodeUnits('5-2')).toThrow("got '5-2'");
  });

  it('name units of the dense model after a second cut', () => {
    const first = new Map([
      ['a', [1, 3, 5, 7]],
      ['b', [0, 2]],
    ]);
    const both = composeKept(
      first,
      new Map([
        ['a', [0, 3]],
        ['c', [4]],
      ]),
    );
    expect([...both]).toEqual([
      ['a', [1, 7]],
      ['b', [0, 2]],
      ['c', [4]],
    ]);
    expect([...keptInHistory([{ step: 'train' }, { kept: encodeKept(both) }, {}])]).toEqual([
      ...both,
    ]);
    expect(keptInHistory([]).size).toBe(0);
  });
});
