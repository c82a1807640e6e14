import { describe, expect, it } from 'vitest';
import type { PruningGroup } from '../../models/groups.js';
import { selectUnits } from '../../pruning/selection.js';
import { type PruneSettings, resolvePruneSettings } from './settings.js';
import { reachedRates } from './reached-rates.js';
import { tinyPruning, tinyRecipe } from '../testing/tiny.js';

const settingsOf = (changes: Partial<PruneSettings>) =>
  resolvePruneSettings(tinyPruning('m', 'd', changes));

/** Two groups of one kind, cut by the selection itself: the first has the better units. */
function cut(
  sizes: readonly [number, number],
  changes: Partial<PruneSettings>,
  fewest?: Readonly<Record<string, number>>,
) {
  const settings = settingsOf(changes);
  const groups = sizes.map((size, i): PruningGroup => ({
    name: `blocks.${i}.ssm`,
    kind: 'ssm',
    size,
    members: [],
    ...(fewest && { fewest: fewest[`blocks.${i}.ssm`] }),
  }));
  const scores = new Map(
    groups.map(({ name, size }, i) => [
      name,
      Array.from({ length: size }, (_, u) => u + 100 * (1 - i)),
    ]),
  );
  const { rates, ranking, normalize, roundTo, maxRate, rateOf, minWidth } = settings;
  const kept = selectUnits(groups, scores, {
    rate: rates['ssm'] ?? 0,
    ranking,
    normalize,
    roundTo,
    maxRate,
    rateOf,
    minWidth,
  });
  return reachedRates(settings, 1, {
    kinds: Object.fromEntries(groups.map(({ name }) => [name, 'ssm'])),
    widthsBefore: Object.fromEntries(groups.map(({ name, size }) => [name, size])),
    widths: Object.fromEntries(Array.from(kept, ([name, units]) => [name, units.length])),
    fewest,
  });
}

const global = { ranking: 'global', normalize: 'none' } as const;
const names = ['blocks.0.ssm', 'blocks.1.ssm'];

describe('the rate that a cut reached', () => {
  it('is the one asked for, to the whole unit, where nothing holds it back', () => {
    for (const ranking of ['global', 'layer'] as const) {
      expect(cut([16, 16], { rates: { ssm: 0.5 }, ranking })).toEqual({
        reached: { ssm: 0.5 },
        heldBack: [],
      });
      // 5 of 16 stay, the nearest to 4.8: no limit, but the size of a unit.
      const { reached, heldBack } = cut([16, 16], { rates: { ssm: 0.7 }, ranking });
      expect(reached['ssm']).toBeCloseTo(22 / 32, 12);
      expect(heldBack).toEqual([]);
    }
  });

  it('says that the most that a group may lose held it back', () => {
    expect(cut([10, 20], { ...global, rates: { ssm: 0.9 }, maxRate: 0.1 })).toEqual({
      reached: { ssm: 1 - 27 / 30 },
      heldBack: [{ kind: 'ssm', limit: 'max-rate', groups: names }],
    });
    // Under 0.3 too, which takes 9 of the 15 that the rate asks for.
    expect(cut([10, 20], { ...global, rates: { ssm: 0.5 }, maxRate: 0.3 }).heldBack).toHaveLength(
      1,
    );
  });

  it('says nothing of a limit that only moved the cut to other groups', () => {
    // Half of 40 go: the second group may lose 12 of 20 at most, so that the first loses 8.
    const { reached, heldBack } = cut([20, 20], { ...global, rates: { ssm: 0.5 }, maxRate: 0.6 });
    expect([reached, heldBack]).toEqual([{ ssm: 0.5 }, []]);
  });

  it('names the groups that may not lose a unit', () => {
    // 2 of 20 may go, and of 4 none: floor(0.4) = 0.
    expect(cut([20, 4], { ...global, rates: { ssm: 0.5 }, maxRate: 0.1 }).heldBack).toEqual([
      { kind: 'ssm', limit: 'max-rate', groups: names },
    ]);
  });

  it('says that each group keeps one unit', () => {
    expect(cut([8, 8], { ...global, rates: { ssm: 0.99 } })).toEqual({
      reached: { ssm: 0.875 },
      heldBack: [{ kind: 'ssm', limit: 'minimum', groups: names }],
    });
    // Of 40 one stays under 0.98, as asked; of 2 none would.
    expect(cut([40, 2], { ranking: 'layer', rates: { ssm: 0.98 } }).heldBack).toEqual([
      { kind: 'ssm', limit: 'minimum', groups: ['blocks.1.ssm'] },
    ]);
  });

  it('says that each group keeps two units, of kinds that do', () => {
    const fewest = { 'blocks.0.ssm': 2, 'blocks.1.ssm': 2 };
    const held = { kind: 'ssm', limit: 'minimum', fewest: 2 };
    for (const ranking of ['layer', 'global'] as const) {
      const changes = { ranking, normalize: 'none', rates: { ssm: 0.99 } } as const;
      expect(cut([8, 8], changes, fewest)).toEqual({
        reached: { ssm: 0.75 },
        heldBack: [{ ...held, groups: names }],
      });
      expect(cut([8, 8], { ...changes, minWidth: 4 }, fewest).heldBack).toEqual([
        { kind: 'ssm', limit: 'min-width', groups: names },
      ]);
    }
    const own = {
      ranking: 'layer',
      rates: { ssm: 0.75 },
      rateOf: { 'blocks.0.ssm': 0.9 },
    } as const;
    expect(cut([8, 8], own, fewest).heldBack).toEqual([]);
    expect(cut([8, 2], { ...own, rates: { ssm: 0.9 } }, fewest).heldBack).toEqual([
      { ...held, groups: names },
    ]);
  });

  it('says that the least width held it back, and which groups have a lower rate of their own', () => {
    for (const ranking of ['layer', 'global'] as const) {
      const held = cut([10, 10], { ranking, normalize: 'none', rates: { ssm: 0.9 }, minWidth: 4 });
      expect(held).toEqual({
        reached: { ssm: 1 - 8 / 20 },
        heldBack: [{ kind: 'ssm', limit: 'min-width', groups: names }],
      });
    }
    const rateOf = { 'blocks.0.ssm': 0 };
    expect(cut([16, 16], { ...global, rates: { ssm: 0.5 }, rateOf })).toEqual({
      reached: { ssm: 0.25 },
      heldBack: [{ kind: 'ssm', limit: 'rate-of', groups: ['blocks.0.ssm'] }],
    });
    // A higher one holds nothing back.
    const more = cut([16, 16], {
      ...global,
      rates: { ssm: 0.5 },
      rateOf: { 'blocks.0.ssm': 0.75 },
    });
    expect(more).toEqual({ reached: { ssm: 0.625 }, heldBack: [] });
  });

  it('says what held back groups that all have rates of their own, which make up the rate', () => {
    // 4 and 8 of 16 would stay.
    const own = { rateOf: { 'blocks.0.ssm': 0.75, 'blocks.1.ssm': 0.5 }, rates: { ssm: 0.625 } };
    expect(cut([16, 16], { ...global, ...own }).heldBack).toEqual([]);
    expect(cut([16, 16], { ...global, ...own, minWidth: 6 })).toEqual({
      reached: { ssm: 1 - 14 / 32 },
      heldBack: [{ kind: 'ssm', limit: 'min-width', groups: ['blocks.0.ssm'] }],
    });
    expect(cut([16, 16], { ...global, ...own, roundTo: 6 })).toEqual({
      reached: { ssm: 1 - 18 / 32 },
      heldBack: [{ kind: 'ssm', limit: 'round-to', groups: names }],
    });
  });

  it('says that widths were rounded up, where that is known by group', () => {
    expect(cut([16, 32], { ranking: 'layer', rates: { ssm: 0.75 }, roundTo: 8 })).toEqual({
      // 4 of 16 become 8; 8 of 32 stay.
      reached: { ssm: 1 - 16 / 48 },
      heldBack: [{ kind: 'ssm', limit: 'round-to', groups: ['blocks.0.ssm'] }],
    });
    const { heldBack } = cut([16, 32], { ...global, rates: { ssm: 0.7 }, roundTo: 8 });
    expect(heldBack).toEqual([{ kind: 'ssm', limit: 'round-to', groups: [] }]);
    expect(cut([16, 16], { ranking: 'layer', rates: { ssm: 0.5 }, roundTo: 8 }).heldBack).toEqual(
      [],
    );
  });

  it('counts what refill gave back on top, and not under a budget that has room for it', () => {
    const of = (budget: 'add' | 'keep') =>
      reachedRates(
        settingsOf({
          method: 'refill',
          refill: { fillback: 0.5, budget },
          ranking: 'layer',
          rates: { mlp: 0.5 },
        }),
        1,
        {
          kinds: { a: 'mlp' },
          widthsBefore: { a: 32 },
          widths: { a: budget === 'add' ? 24 : 16 },
          returned: new Map([['a', [0, 1, 2, 3, 4, 5, 6, 7]]]),
        },
      );
    expect(of('add')).toEqual({
      reached: { mlp: 0.25 },
      heldBack: [{ kind: 'mlp', limit: 'fillback', groups: ['a'] }],
    });
    expect(of('keep')).toEqual({ reached: { mlp: 0.5 }, heldBack: [] });
  });

  it('is measured against the share of its round', () => {
    const settings = settingsOf({ rates: { mlp: 0.75 }, rounds: 2 });
    const groups = { kinds: { a: 'mlp' }, widthsBefore: { a: 32 } };
    expect(reachedRates(settings, 1, { ...groups, widths: { a: 16 } })).toEqual({
      reached: { mlp: 0.5 },
      heldBack: [],
    });
  });

  it('is whatever there was to delete under near-zero', () => {
    const settings = settingsOf({
      method: 'rsst',
      rates: { mlp: 0 },
      ranking: 'global',
      roundTo: 4,
      rsst: { nearZero: 0.1, epochs: 1 },
      recipe: tinyRecipe,
    });
    expect(
      reachedRates(settings, 1, { kinds: { a: 'mlp' }, widthsBefore: { a: 10 }, widths: { a: 7 } }),
    ).toEqual({ reached: { mlp: 1 - 7 / 10 }, heldBack: [] });
  });
});
