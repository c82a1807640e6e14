import { describe, expect, it } from 'vitest';
import type { PruningGroup } from '../models/groups.js';
import { checkOwnRates, leastUnits } from './group-limits.js';
import { chooseUnits } from './select-units.js';
import { type SelectionOptions, selectUnits } from './selection.js';
import { unitsByNorm, unitsOverNearZero } from './rsst/index.js';
import { smallMamba } from './testing/models.js';

const group = (name: string, size: number): PruningGroup => ({
  name,
  kind: 'k',
  size,
  members: [],
});

/** Units kept of each group, whose scores are given. */
function widths(
  scores: Record<string, number[]>,
  options: Omit<SelectionOptions, 'normalize'>,
): Record<string, number> {
  const groups = Object.entries(scores).map(([name, list]) => group(name, list.length));
  const kept = selectUnits(groups, new Map(Object.entries(scores)), {
    ...options,
    normalize: 'none',
  });
  return Object.fromEntries(Array.from(kept, ([name, units]) => [name, units.length]));
}

const two = { a: [1, 2, 3, 4], b: [5, 6, 7, 8] };

describe('rates of single groups', () => {
  it('take a group out of the ranking, which has the rate for the others', () => {
    // Without them all of b would stay; a alone keeps half.
    expect(widths(two, { rate: 0.5, ranking: 'global' })).toEqual({ a: 1, b: 3 });
    expect(widths(two, { rate: 0.5, ranking: 'global', rateOf: { b: 0.75 } })).toEqual({
      a: 2,
      b: 1,
    });
    expect(widths(two, { rate: 0.5, ranking: 'layer', rateOf: { b: 0.75 } })).toEqual({
      a: 2,
      b: 1,
    });
  });

  it('leave a group whole at 0, whatever the others lose', () => {
    for (const ranking of ['global', 'layer'] as const) {
      expect(widths(two, { rate: 0.75, ranking, rateOf: { a: 0 } })).toEqual({ a: 4, b: 1 });
    }
  });

  it('are shares of the width that the run began with, and rounded up as others are', () => {
    const options = { rate: 0, ranking: 'global', rateOf: { a: 0.5 } } as const;
    expect(widths(two, { ...options, sizes: { a: 6, b: 4 } })).toEqual({ a: 3, b: 4 });
    expect(widths(two, { ...options, roundTo: 3 })).toEqual({ a: 3, b: 4 });
  });

  it('hold for a cut by norms too, and near-zero leaves groups whole', () => {
    const model = smallMamba();
    const groups = model.pruningGroups();
    const kept = unitsByNorm(model, groups, {
      norm: 'l1',
      rates: { ssm: 0.5 },
      ranking: 'global',
      rateOf: { 'blocks.0.ssm': 0.75 },
    });
    expect([kept.get('blocks.0.ssm')?.length, kept.get('blocks.1.ssm')?.length]).toEqual([8, 16]);
    const near = { norm: 'l1', targets: ['ssm'], nearZero: 0.99 } as const;
    expect(unitsOverNearZero(model, groups, near).get('blocks.0.ssm')?.length).toBeLessThan(32);
    const spared = unitsOverNearZero(model, groups, { ...near, exclude: ['blocks.0.ssm'] });
    expect(spared.get('blocks.0.ssm')).toHaveLength(32);
    expect(spared.get('blocks.1.ssm')?.length).toBeLessThan(32);
  });

  it('are refused out of range, for a group that there is not, and for a kind that is not cut', async () => {
    const cut = (rateOf: Record<string, number>) =>
      chooseUnits(smallMamba(), { rates: { ssm: 0.5 }, ranking: 'layer', rateOf });
    await expect(cut({ 'blocks.0.ssm': 1 })).rejects.toThrow(
      "`rateOf` of 'blocks.0.ssm': got 1, expected the fraction to remove",
    );
    await expect(cut({ 'blocks.7.ssm': 0.5 })).rejects.toThrow(
      "`rateOf`: got the name 'blocks.7.ssm', expected one of blocks.0.ssm, blocks.0.state,",
    );
    await expect(cut({ 'blocks.0.mlp': 0.5 })).rejects.toThrow(
      'groups of the kind mlp are not cut. Give mlp a rate, 0 to cut only the groups named.',
    );
    // Left alone anyway.
    await expect(cut({ 'blocks.0.mlp': 0 })).resolves.toBeInstanceOf(Map);
  });

  it('cut one group alone where the rate of its kind is 0', async () => {
    const kept = await chooseUnits(smallMamba(), {
      rates: { ssm: 0 },
      ranking: 'global',
      rateOf: { 'blocks.1.ssm': 0.25 },
    });
    expect([kept.get('blocks.0.ssm')?.length, kept.get('blocks.1.ssm')?.length]).toEqual([32, 24]);
  });

  it('name many groups in short', () => {
    const groups = Array.from({ length: 24 }, (_, i) => group(`g${i}`, 2));
    expect(() => {
      checkOwnRates(groups, ['k'], { x: 0 });
    }).toThrow('expected one of g0, g1, g2, g3, g4, g5 ... g23 (24 groups)');
  });
});

describe('the least width', () => {
  it('is kept by every group, under both rankings', () => {
    for (const ranking of ['global', 'layer'] as const) {
      expect(widths(two, { rate: 0.75, ranking, minWidth: 2 })).toEqual({ a: 2, b: 2 });
      expect(widths(two, { rate: 0.75, ranking, minWidth: '75%' })).toEqual({ a: 3, b: 3 });
    }
  });

  it('holds for groups with a rate of their own, and never asks for more than there is', () => {
    const options = { rate: 0.5, ranking: 'layer', rateOf: { a: 0.75 } } as const;
    expect(widths(two, { ...options, minWidth: 2 })).toEqual({ a: 2, b: 2 });
    expect(widths(two, { ...options, minWidth: 9 })).toEqual({ a: 4, b: 4 });
  });

  it('as a share is rounded up, and not by the last bits of a product', () => {
    expect(leastUnits(10, '25%')).toBe(3);
    // 0.07 * 100 is 7.000000000000001.
    expect(leastUnits(100, '7%')).toBe(7);
    expect(leastUnits(10, '0%')).toBe(1);
    expect([leastUnits(10, 1, 2), leastUnits(10, 5, 2), leastUnits(1, 5, 2)]).toEqual([2, 5, 1]);
  });

  it('is refused if it is neither a count nor a share', () => {
    for (const minWidth of [0, 1.5, '120%', 'x%'] as const) {
      expect(() =>
        widths(two, { rate: 0.5, ranking: 'layer', minWidth: minWidth as number }),
      ).toThrow(/`minWidth`: got .*, expected a number of units of at least 1, or a share/);
    }
  });
});
