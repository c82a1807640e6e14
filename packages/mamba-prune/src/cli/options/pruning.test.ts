import { describe, expect, it } from 'vitest';
import type { PruneSettings } from '../../workflows/prune-settings.js';
import { tinyPruning } from '../../workflows/testing/tiny.js';
import { type PruningFlags, checkPruningFlags, pruningOf } from './pruning.js';

/** As the command does it. */
function settingsOf(given: PruningFlags, stored?: PruneSettings): PruneSettings {
  const settings = { ...(stored ?? tinyPruning('m', 'd')), ...pruningOf(given, stored) };
  checkPruningFlags(given, settings);
  return settings;
}

describe('the flags of prune', () => {
  it('become settings of their method', () => {
    expect(
      settingsOf({ method: 'refill', fillback: 0.1, refillScore: 'gradient', scoreBatches: 2 }),
    ).toMatchObject({
      method: 'refill',
      refill: { fillback: 0.1, score: 'gradient' },
      scoreBatches: 2,
    });
    expect(
      settingsOf({ method: 'rsst', regScope: 'doomed', importance: 'l2', exponents: 2 }),
    ).toMatchObject({ importance: 'l2', rsst: { scope: 'doomed', exponent: 2 } });
    expect(settingsOf({ distill: 0.3, temperature: 4 }).distill).toEqual({
      weight: 0.3,
      temperature: 4,
    });
    expect(settingsOf({ distill: 0 }).distill).toBeUndefined();
  });

  it('go over what a run has, which stays where nothing was typed', () => {
    const stored = settingsOf({ method: 'refill', fillback: 0.1, rounds: 4, distill: 0.3 });
    expect(settingsOf({}, stored)).toEqual(stored);
    expect(settingsOf({ refillBudget: 'keep' }, stored)).toEqual({
      ...stored,
      refill: { fillback: 0.1, budget: 'keep' },
    });
  });

  it.each<[PruningFlags, RegExp]>([
    [{ fillback: 0.1 }, /got --fillback, which belongs to --method refill, not oneshot/],
    [
      { method: 'rsst', refillScore: 'gradient' },
      /got --refill-score, which belongs to --method refill, not rsst/,
    ],
    [
      { method: 'refill', regStrength: 1 },
      /got --reg-strength, which belongs to --method rsst, not refill/,
    ],
    [{ method: 'refill', nearZero: 0.1 }, /got --near-zero, which belongs to --method rsst/],
    [{ method: 'rsst', importance: 'l2' }, /got --importance, which belongs to --reg-scope doomed/],
    [
      { method: 'rsst', nearZero: 0.1, ssmRate: 0.5 },
      /got --ssm-rate, which has no effect under --near-zero/,
    ],
    [
      { method: 'rsst', regSchedule: 'x', exponents: 2 },
      /got --exponents, which has no effect under --reg-schedule x/,
    ],
    [{ scoreBatches: 4 }, /got --score-batches, which belongs to --importance taylor/],
    [{ ranking: 'layerwise', maxRate: 0.5 }, /got --max-rate, which belongs to --ranking global/],
    [{ perRound: true }, /got --per-round, which belongs to several --rounds/],
    [{ temperature: 2 }, /got --temperature, which belongs to --distill/],
  ])('%j are refused', (given, message) => {
    expect(() => settingsOf(given)).toThrow(message);
  });
});
