import { describe, expect, it } from 'vitest';
import { evenIsWide, narrowGroups, nothingRemoved, wideEnough } from './narrow-groups.js';
import type { PruningRecord } from './record.js';

const record = (
  widthsBefore: Record<string, number>,
  widthsAfter: Record<string, number>,
  denseWidths = widthsBefore,
) => ({
  kinds: Object.fromEntries(Object.keys(widthsBefore).map((name) => [name, 'ssm'])),
  denseWidths,
  widthsBefore,
  widthsAfter,
});

const namesOf = (of: ReturnType<typeof record>): string[] =>
  narrowGroups(of).map(({ name }) => name);

describe('narrow groups', () => {
  it('are those with one unit left, or less than a twentieth of the dense model', () => {
    const before = { a: 3, b: 256, c: 256, d: 256, e: 100 };
    expect(narrowGroups(record(before, { a: 1, b: 1, c: 12, d: 13, e: 5 }))).toEqual([
      { name: 'a', kind: 'ssm', dense: 3, before: 3, left: 1 },
      { name: 'b', kind: 'ssm', dense: 256, before: 256, left: 1 },
      // A twentieth of 256 is 12.8.
      { name: 'c', kind: 'ssm', dense: 256, before: 256, left: 12 },
    ]);
  });

  it('are compared with the dense model, and only if this run cut them', () => {
    const dense = { a: 200, b: 200 };
    expect(namesOf(record({ a: 16, b: 9 }, { a: 8, b: 9 }, dense))).toEqual(['a']);
    expect(namesOf(record({ a: 1 }, { a: 1 }))).toEqual([]);
  });

  it.each<[dense: number, before: number]>([
    [3, 3],
    [256, 256],
    [512, 512],
    [333, 333],
    [1000, 120],
    [7, 5],
  ])(
    'of %i units, %i of them left, would have stayed wide under the rate named',
    (dense, before) => {
      const rate = wideEnough([{ name: 'a', kind: 'ssm', dense, before, left: 1 }]);
      expect(rate).toBeGreaterThan(0);
      // As `selectUnits` counts.
      const left = before - Math.floor(rate * before + 1e-9);
      expect(left).toBeGreaterThanOrEqual(Math.max(2, Math.ceil(0.05 * dense)));
      expect(left).toBeLessThan(before);
    },
  );

  it('of two units have nothing to lose', () => {
    expect(wideEnough([{ name: 'a', kind: 'ssm', dense: 2, before: 2, left: 1 }])).toBe(0);
  });

  it('are told from those that the same share of each would have made as narrow', () => {
    const group = { name: 'a', kind: 'ssm', dense: 100, before: 100, left: 1 };
    expect(evenIsWide([group], { ssm: 0.9 })).toBe(true);
    expect(evenIsWide([group], { ssm: 0.96 })).toBe(false);
  });
});

describe('a cut that removed nothing', () => {
  const of = (before: number, after: number, rounds = [{}]) =>
    nothingRemoved({ ...record({ a: before }, { a: after }), rounds } as unknown as PruningRecord);

  it('is told from one that did, and from none', () => {
    expect(of(4, 4)).toBe(true);
    expect(of(4, 3)).toBe(false);
    expect(of(4, 4, [])).toBe(false);
  });
});
