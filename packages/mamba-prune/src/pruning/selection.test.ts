import { describe, expect, it } from 'vitest';
import type { PruningGroup } from '../models/groups.js';
import { type SelectionOptions, keptCount, selectUnits } from './selection.js';

const group = (name: string, size: number): PruningGroup => ({
  name,
  kind: 'k',
  size,
  members: [],
});

function select(
  scores: Record<string, number[]>,
  options: SelectionOptions,
): Record<string, readonly number[]> {
  const groups = Object.entries(scores).map(([name, list]) => group(name, list.length));
  return Object.fromEntries(selectUnits(groups, new Map(Object.entries(scores)), options));
}

describe('selectUnits', () => {
  it('keeps the best units of each group under ranking by layer', () => {
    expect(
      select({ a: [1, 9, 3, 7], b: [100, 200, 300, 400] }, { rate: 0.5, ranking: 'layer' }),
    ).toEqual({ a: [1, 3], b: [2, 3] });
  });

  it('keeps the best units of all groups under global ranking', () => {
    expect(
      select(
        { a: [1, 2, 3, 4], b: [5, 6, 7, 8] },
        { rate: 0.5, ranking: 'global', normalize: 'none' },
      ),
    ).toEqual({ a: [3], b: [1, 2, 3] });
  });

  it('divides by the group mean under global ranking unless told otherwise', () => {
    // After division: a = [0.4, 0.8, 1.2, 1.6], b the same values times 100: equal after division.
    expect(
      select({ a: [1, 2, 3, 4], b: [100, 200, 300, 400] }, { rate: 0.5, ranking: 'global' }),
    ).toEqual({ a: [2, 3], b: [2, 3] });
  });

  it('gives ties to the lower index and the earlier group', () => {
    expect(select({ a: [1, 1, 1, 1] }, { rate: 0.5, ranking: 'layer' })).toEqual({ a: [0, 1] });
    expect(select({ a: [1, 1, 1], b: [1, 1, 1] }, { rate: 0.5, ranking: 'global' })).toEqual({
      a: [0, 1],
      b: [0],
    });
  });

  it('never empties a group', () => {
    const kept = select(
      { a: [1, 1, 1, 1], b: [9, 9, 9, 9] },
      { rate: 0.9, ranking: 'global', normalize: 'none' },
    );
    expect(kept).toEqual({ a: [0], b: [0] });
    expect(select({ a: [1, 2] }, { rate: 0.99, ranking: 'layer' })).toEqual({ a: [1] });
  });

  it('lets no group lose more than max-rate', () => {
    expect(
      select(
        { a: [1, 1, 1, 1], b: [9, 9, 9, 9] },
        { rate: 0.5, ranking: 'global', normalize: 'none', maxRate: 0.75 },
      ),
    ).toEqual({ a: [0], b: [0, 1, 2] });
  });

  it('rounds the number kept up to a multiple', () => {
    expect(select({ a: [5, 4, 3, 2, 1, 0] }, { rate: 0.5, ranking: 'layer', roundTo: 4 })).toEqual({
      a: [0, 1, 2, 3],
    });
    expect(keptCount(384, 0.7)).toBe(115);
    expect(keptCount(384, 0.7, 8)).toBe(120);
    expect(keptCount(6, 0.5, 8)).toBe(6);
  });

  it('keeps everything at rate 0', () => {
    expect(select({ a: [1, 2] }, { rate: 0, ranking: 'global' })).toEqual({ a: [0, 1] });
  });

  it('refuses words that it does not know', () => {
    expect(() => select({ a: [1] }, { rate: 0, ranking: 'local' as 'global' })).toThrow(
      /ranking: got 'local', expected one of global, layer/,
    );
    expect(() =>
      select({ a: [1] }, { rate: 0, ranking: 'global', normalize: 'max' as 'mean' }),
    ).toThrow(/normalize: got 'max', expected one of mean, none/);
  });

  it('refuses rates outside [0, 1) and scores that are no numbers', () => {
    for (const rate of [1, -0.1, Number.NaN]) {
      expect(() => select({ a: [1] }, { rate, ranking: 'global' })).toThrow(/rate: got/);
    }
    expect(() => select({ a: [1, Number.NaN] }, { rate: 0.5, ranking: 'global' })).toThrow(
      /unit 1 is NaN/,
    );
    expect(() =>
      selectUnits([group('a', 3)], new Map([['a', [1]]]), { rate: 0.5, ranking: 'global' }),
    ).toThrow(/got 1 scores, expected 3/);
  });
});
