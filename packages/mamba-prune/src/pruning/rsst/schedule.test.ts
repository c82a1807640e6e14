import { describe, expect, it } from 'vitest';
import { UsageError } from '../../errors.js';
import { type RsstSchedule, rsstLambda, rsstScheduleExp, rsstSchedules } from './index.js';

describe('rsstLambda', () => {
  // By hand, for a strength of 2, an exponent of 3 and the progress 1/2.
  it.each<[RsstSchedule, number]>([
    ['x', 1],
    ['x^2', 0.5],
    ['x^3', 0.25],
    // 2 (exp(1/8) - 1) / (e - 1) and 2 (exp(1/2) - 1) / (e - 1)
    ['exp', 0.15498],
    ['exp_custom', 0.75508],
    ['exp_custom_exponents', 0.25],
    ['cosine', 1],
    ['constant', 2],
  ])('computes %s', (schedule, expected) => {
    // Five digits were worked out.
    expect(rsstLambda(schedule, { strength: 2, exponent: 3 }, 0.5)).toBeCloseTo(expected, 5);
  });

  it.each(rsstSchedules)(
    '%s rises from 0 (constant: strength) to strength, over fractions too',
    (name) => {
      const strength = { strength: 0.3, exponent: 4 };
      const at = (progress: number) => rsstLambda(name, strength, progress);
      expect(at(0)).toBe(name === 'constant' ? 0.3 : 0);
      // Roundings of a handful of operations in float64.
      expect(at(1)).toBeCloseTo(0.3, 14);
      const values = Array.from({ length: 101 }, (_, i) => at(i / 100));
      const rising = values.slice(1).every((value, i) => value > (values[i] ?? NaN));
      expect(rising).toBe(name !== 'constant');
    },
  );

  it('has an exponent of 4 unless given, and only where the definition has one', () => {
    const at = (name: RsstSchedule, exponent?: number) =>
      rsstLambda(name, { strength: 1, exponent }, 0.5);
    expect(at('exp_custom_exponents')).toBe(0.5 ** 4);
    expect(at('exp')).toBe(at('exp', 4));
    for (const name of ['x', 'x^2', 'x^3', 'exp_custom', 'constant'] as const) {
      expect(at(name, 7)).toBe(at(name, 2));
    }
    expect(at('exp', 1)).toBe(at('exp_custom'));
  });

  it('keeps its digits at the very start, where exp(x) - 1 would lose them', () => {
    // t^4 = 1e-16: below half a rounding of 1, so exp(t^4) - 1 would be 0.
    const expected = 1e-16 / (Math.E - 1);
    expect(rsstLambda('exp', { strength: 1 }, 1e-4) / expected).toBeCloseTo(1, 12);
  });

  it.each([
    ['another schedule', ['x^4', { strength: 1 }, 0], /got 'x\^4', expected one of x, x\^2/],
    ['a negative strength', ['x', { strength: -1 }, 0], /strength: got -1/],
    ['a strength without end', ['x', { strength: Infinity }, 0], /strength: got Infinity/],
    ['an exponent of 0', ['exp', { strength: 1, exponent: 0 }, 0], /exponent: got 0/],
    ['a progress past the end', ['x', { strength: 1 }, 1.01], /progress of 1\.01/],
    ['a progress that is no number', ['x', { strength: 1 }, NaN], /progress of NaN/],
  ])('refuses %s', (_what, args, message) => {
    const call = () => rsstLambda(...(args as Parameters<typeof rsstLambda>));
    expect(call).toThrow(UsageError);
    expect(call).toThrow(message);
  });
});

describe('rsstScheduleExp', () => {
  it('is strength (epoch / total)^exponent, by default 1e-4 and 4', () => {
    expect(rsstScheduleExp(30, 60)).toBeCloseTo(1e-4 / 16, 18);
    expect(rsstScheduleExp(60, 60)).toBe(1e-4);
    expect(rsstScheduleExp(1.5, 3, 8, 3)).toBe(1);
  });

  it('refuses an epoch that is not in the training', () => {
    expect(() => rsstScheduleExp(61, 60)).toThrow(/got epoch 61 of 60/);
    expect(() => rsstScheduleExp(0, 0)).toThrow(UsageError);
  });
});
