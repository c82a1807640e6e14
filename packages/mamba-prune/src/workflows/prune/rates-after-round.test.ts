import { describe, expect, it } from 'vitest';
import { keptCount } from '../../pruning/selection.js';
import { ratesAfter, ratesOfGroupsAfter } from './rates-after-round.js';

const after = (rate: number, rounds: number, perRound: boolean, round: number): number =>
  ratesAfter({ rates: { ssm: rate }, rounds, perRound }, round)['ssm'] as number;

describe('the rates of rounds', () => {
  it('leave (1 - rate)^(j/R) of what the run began with', () => {
    // 0.36 is what two rounds leave, so each leaves 0.6 of what it finds.
    expect(after(0.64, 2, false, 1)).toBeCloseTo(0.4, 15);
    // 1/16 over four rounds: each halves.
    expect([1, 2, 3, 4].map((round) => 1 - after(15 / 16, 4, false, round))).toEqual([
      0.5, 0.25, 0.125, 0.0625,
    ]);
  });

  it('are shares of what is left under per-round', () => {
    expect([1, 2, 3].map((round) => 1 - after(0.5, 3, true, round))).toEqual([0.5, 0.25, 0.125]);
  });

  it('end at the very rate, so that the last count is that of a single cut', () => {
    for (const rate of [0.1, 0.3, 0.7, 0.9, 1 / 3]) {
      expect(after(rate, 16, false, 16)).toBe(rate);
      expect(after(rate, 1, true, 1)).toBe(rate);
    }
  });

  it('are spread alike for groups that have one of their own', () => {
    const plan = { rounds: 2, perRound: false, rateOf: { a: 0.75, b: 0 } };
    expect(ratesOfGroupsAfter(plan, 1)).toEqual({ a: 0.5, b: 0 });
    expect(ratesOfGroupsAfter(plan, 2)).toEqual({ a: 0.75, b: 0 });
    expect(ratesOfGroupsAfter({ rounds: 2, perRound: false }, 1)).toBeUndefined();
  });

  it('never let a group grow from one round to the next', () => {
    for (const size of [1, 2, 7, 96, 384]) {
      const widths = Array.from({ length: 16 }, (_, j) =>
        keptCount(size, after(0.7, 16, false, j + 1)),
      );
      widths.forEach((width, j) => {
        expect(width).toBeLessThanOrEqual(widths[j - 1] ?? size);
      });
      expect(widths.at(-1)).toBe(keptCount(size, 0.7));
    }
  });
});
