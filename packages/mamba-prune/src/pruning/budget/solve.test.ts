import { describe, expect, it } from 'vitest';
import { Random, Stage } from '../../data/random.js';
import type { PruningGroup } from '../../models/groups.js';
import type { Widths } from '../../models/width-costs.js';
import { refillCounts } from '../refill.js';
import { poolsOf, relativeCosts } from '../ranking.js';
import { type KindSelectionOptions, checkKindSelection, selectKinds } from '../select-kinds.js';
import { selectUnits } from '../selection.js';
import type { BudgetTarget } from './targets.js';
import { solveInPools } from './solve.js';

const group = (name: string, kind: string, size: number): PruningGroup => ({
  name,
  kind,
  size,
  members: [],
});

const ones = Array.from({ length: 20 }, () => 1);

/** Four groups of two kinds with random widths, scores, and a cost in which a and b multiply. */
function randomCase(seed: number) {
  const random = new Random();
  random.seed(seed, Stage.split, 0, 0);
  const integer = (from: number, to: number): number => Math.floor(random.between(from, to + 1));
  const groups = [
    group('a', 'x', integer(1, 7)),
    group('b', 'y', integer(1, 7)),
    group('c', 'x', integer(1, 7)),
    group('d', 'y', integer(1, 7)),
  ];
  const scores = new Map(
    groups.map(({ name, size }) => [name, Array.from({ length: size }, () => integer(0, 20))]),
  );
  const [p, q, r, s] = [integer(0, 9), integer(0, 9), integer(1, 9), integer(1, 9)];
  const w = (widths: Widths, name: string): number => widths[name] ?? NaN;
  const cost = (widths: Widths): number =>
    20 +
    p * w(widths, 'a') * w(widths, 'b') +
    q * w(widths, 'a') +
    r * w(widths, 'c') +
    s * w(widths, 'd');
  const dense = cost(Object.fromEntries(groups.map(({ name, size }) => [name, size])));
  const least = cost({ a: 1, b: 1, c: 1, d: 1 });
  const limit = least + random.between(0, 1) * (dense - least);
  const target: BudgetTarget = { name: 'MACs', cost, limit };
  return { groups, scores, target, integer };
}

const widthsOf = (kept: ReadonlyMap<string, readonly number[]>): Record<string, number> =>
  Object.fromEntries(Array.from(kept, ([name, units]) => [name, units.length]));

const rates = { x: 0, y: 0 };

describe('the solution of a budget', () => {
  const choices = [
    { ranking: 'global' },
    { ranking: 'layer' },
    { ranking: 'global', rankBy: 'score-per-cost' },
    { ranking: 'global', roundTo: 2 },
    { ranking: 'layer', minWidth: '30%' },
  ] as const;

  it.each(choices)('is not above it and the largest of its ranking under %j', (choice) => {
    let solved = 0;
    for (let seed = 0; seed < 40; seed++) {
      const { groups, scores, target } = randomCase(seed);
      const options: KindSelectionOptions = { rates, ...choice, costBudget: { targets: [target] } };
      try {
        checkKindSelection(groups, options);
      } catch (error) {
        expect((error as Error).message).toContain('the least that these groups can be cut to');
        continue;
      }
      solved += 1;
      const widths = widthsOf(selectKinds(groups, scores, options).kept);
      expect(target.cost(widths)).toBeLessThanOrEqual(target.limit);
      // Every cut of the same ranking, by brute force: 200 shares are more than there are widths.
      const tried = Array.from({ length: 200 }, (_, i) => {
        const share = i / 200;
        const all = { x: share, y: share };
        const cost = target.cost;
        return widthsOf(
          selectKinds(groups, scores, { ...options, rates: all, cost, costBudget: undefined }).kept,
        );
      });
      const costs = tried.map(target.cost);
      const best = Math.max(...costs.filter((cost) => cost <= target.limit));
      expect(target.cost(widths)).toBeGreaterThanOrEqual(best);
      // The next wider cut of the ranking has units more; none of them alone fits any more.
      const wider = tried.findLast((_, i) => (costs[i] as number) > target.limit) ?? widths;
      for (const { name, size } of groups) {
        const step = 'roundTo' in choice ? 2 : 1;
        const more = Math.min(size, (widths[name] as number) + step);
        if (more > (wider[name] as number) || more === widths[name]) continue;
        expect(target.cost({ ...widths, [name]: more })).toBeGreaterThan(target.limit);
      }
    }
    expect(solved).toBeGreaterThan(15);
  });

  it('keeps to every target at once', () => {
    const { groups, scores, target } = randomCase(7);
    const units: BudgetTarget = {
      name: 'units',
      limit: 9,
      cost: (widths) => Object.values(widths).reduce((a, b) => a + b, 0),
    };
    const targets = [{ ...target, limit: Infinity }, units];
    const { kept, solution } = selectKinds(groups, scores, {
      rates,
      ranking: 'global',
      costBudget: { targets },
    });
    expect(units.cost(widthsOf(kept))).toBe(9);
    expect(solution?.targets.map(({ name, reached }) => [name, reached])).toEqual([
      ['MACs', target.cost(widthsOf(kept))],
      ['units', 9],
    ]);
  });

  it('is all units where the budget holds already', () => {
    const { groups, scores, target } = randomCase(3);
    const { kept } = selectKinds(groups, scores, {
      rates,
      ranking: 'global',
      costBudget: { targets: [{ ...target, limit: 1e9 }] },
    });
    for (const { name, size } of groups) expect(kept.get(name)).toHaveLength(size);
  });

  it('leaves groups with a rate of their own at it', () => {
    const groups = [group('a', 'x', 10), group('b', 'x', 10)];
    const scores = new Map(
      groups.map(({ name }) => [name, Array.from({ length: 10 }, (_, i) => i)]),
    );
    const cost = ({ a = 0, b = 0 }: Widths): number => a + b;
    const options: KindSelectionOptions = {
      rates: { x: 0 },
      ranking: 'global',
      rateOf: { a: 0.2 },
      costBudget: { targets: [{ name: 'units', cost, limit: 11.5 }] },
    };
    expect(widthsOf(selectKinds(groups, scores, options).kept)).toEqual({ a: 8, b: 3 });
  });

  it('counts what refill gives back', () => {
    const groups = [group('a', 'x', 100)];
    const scores = new Map([['a', Array.from({ length: 100 }, (_, i) => i)]]);
    const pools = poolsOf(groups, scores, { rates: { x: 0 }, ranking: 'layer' });
    const final = (size: number, count: number): number =>
      refillCounts(size, count, { fillback: 0.5, budget: 'add' }).final;
    const cost = ({ a = 0 }: Widths): number => a;
    const solution = solveInPools(
      pools,
      { ranking: 'layer' },
      {
        final,
        targets: [{ name: 'units', cost, limit: 60 }],
      },
    );
    // 21 + floor(79 / 2) = 60; one more in the first cut is 61.
    expect([solution.counts.get('a'), solution.targets[0]?.reached]).toEqual([21, 60]);
  });

  it('goes there by equal shares of what is left, and says where it ends', () => {
    const groups = [group('a', 'x', 100)];
    const scores = new Map([['a', Array.from({ length: 100 }, (_, i) => i)]]);
    const cost = ({ a = 0 }: Widths): number => a;
    const at = (part: number, ranking: 'layer' | 'global') =>
      selectKinds(groups, scores, {
        rates: { x: 0 },
        ranking,
        costBudget: { part, targets: [{ name: 'units', cost, limit: 25 }] },
      });
    for (const ranking of ['layer', 'global'] as const) {
      expect(at(1 / 2, ranking).kept.get('a')).toHaveLength(50);
      expect(at(1, ranking).kept.get('a')).toHaveLength(25);
      expect(at(1 / 2, ranking).solution).toMatchObject({
        rates: { x: 0.5 },
        targets: [{ before: 100, reached: 25, limit: 25 }],
      });
    }
  });

  it('is refused beside rates, and out of reach with what can be reached', () => {
    const { groups, target } = randomCase(1);
    const options = { ranking: 'global', costBudget: { targets: [target] } } as const;
    expect(() => {
      checkKindSelection(groups, { ...options, rates: { x: 0.5, y: 0 } });
    }).toThrow(
      'budget: got the rate 0.5 of x too, expected 0: the budget takes the place of rates.',
    );
    const tight = { ...target, limit: 10 };
    const least = target.cost({ a: 1, b: 1, c: 1, d: 1 });
    expect(() => {
      checkKindSelection(groups, { ...options, rates, costBudget: { targets: [tight] } });
    }).toThrow(`the least that these groups can be cut to is ${least} MACs (the budget is 10).`);
    // What comes back is named where it is in the way.
    const final = (size: number, count: number): number => Math.min(size, count + 1);
    const growing = { targets: [{ ...target, limit: least }], final };
    expect(() => {
      checkKindSelection(groups, { ...options, rates, costBudget: growing });
    }).toThrow('or cut deeper for the units that refill gives back (`refillBudget` keep).');
  });

  it.each([
    [{ maxRate: 0.2 }, 'ask less of what keeps units: `maxRate` 0.2.'],
    [{ minWidth: '50%', roundTo: 1 }, 'ask less of what keeps units: `minWidth` 50%.'],
    [{ maxRate: 0.2, minWidth: '50%' }, 'ask less of what keeps units: `maxRate` 0.2.'],
    [
      { maxRate: 0.5, minWidth: '50%' },
      'ask less of what keeps units: `maxRate` 0.5, `minWidth` 50%.',
    ],
    [{ roundTo: 8 }, 'ask less of what keeps units: `roundTo` 8.'],
    [
      { rateOf: { a: 0 } },
      'ask less of what keeps units: excluded groups (a rate of 0 in `rateOf`).',
    ],
    [
      { rateOf: { a: 0.1, b: 0 } },
      'keeps units: rates of single groups (`rateOf`), excluded groups (a rate of 0 in `rateOf`).',
    ],
    [{ maxRate: 1, minWidth: 1 }, 'Raise the budget or let more groups or kinds be cut.'],
  ] as const)('is refused with the limits that stand in its way: %j', (limits, advice) => {
    const groups = [group('a', 'x', 20), group('b', 'x', 20), group('c', 'x', 20)];
    const cost = ({ a = 20, b = 20, c = 20 }: Widths): number => a + b + c;
    const costBudget = { targets: [{ name: 'MACs', cost, limit: 1 }] };
    const options = { ranking: 'global', rates: { x: 0 }, costBudget, ...limits } as const;
    expect(() => {
      checkKindSelection(groups, options);
    }).toThrow(advice);
    const pools = poolsOf(groups, new Map(groups.map(({ name }) => [name, ones])), options);
    expect(() => solveInPools(pools, options, costBudget)).toThrow(advice);
  });
});

describe('score per cost', () => {
  const groups = [group('cheap', 'x', 4), group('dear', 'y', 4)];
  const cost = ({ cheap = 0, dear = 0 }: Widths): number => cheap + 3 * dear;

  it('divides by what a unit saves, as a multiple of the mean', () => {
    // (4 · 1 + 4 · 3) / 8 = 2.
    expect([...relativeCosts(groups, cost)]).toEqual([
      ['cheap', 0.5],
      ['dear', 1.5],
    ]);
  });

  it('ranks kinds together: of units worth as much the dear ones go first', () => {
    const scores = new Map(groups.map(({ name }) => [name, [1, 1, 1, 1]]));
    const kept = selectKinds(groups, scores, {
      rates: { x: 0.25, y: 0.25 },
      ranking: 'global',
      rankBy: 'score-per-cost',
      cost,
    }).kept;
    expect(widthsOf(kept)).toEqual({ cheap: 4, dear: 2 });
  });

  it('refuses ranking by layer, where it would change nothing, and a cost that is missing', () => {
    const options = { rates, rankBy: 'score-per-cost' } as const;
    expect(() => {
      checkKindSelection(groups, { ...options, ranking: 'layer' });
    }).toThrow('`rankBy` score-per-cost: got `ranking` layer, expected global');
    const scores = new Map(groups.map(({ name }) => [name, [1, 1, 1, 1]]));
    expect(() => selectKinds(groups, scores, { ...options, ranking: 'global' })).toThrow(
      'got no cost, expected what a model of given widths costs',
    );
  });

  it('is not asked for by default: kinds keep their own rates', () => {
    const scores = new Map(groups.map(({ name }) => [name, [4, 3, 2, 1]]));
    const by = selectKinds(groups, scores, { rates: { x: 0.5, y: 0.25 }, ranking: 'global' }).kept;
    const x = selectUnits([groups[0] as PruningGroup], scores, { rate: 0.5, ranking: 'global' });
    expect(by.get('cheap')).toEqual(x.get('cheap'));
    expect(widthsOf(by)).toEqual({ cheap: 2, dear: 3 });
  });
});
