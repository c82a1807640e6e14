import { eye, tensor } from '@mamba-prune/libtorch';
import { describe, expect, it } from 'vitest';
import { type LinearMap, Moments } from './moments.js';

const rows = (values: readonly (readonly number[])[]) =>
  tensor(values.flat(), { dtype: 'float64' }).reshape(values.length, values[0]?.length ?? 0);

function momentsOf(x: readonly (readonly number[])[], t: readonly (readonly number[])[]): Moments {
  const moments = new Moments(x[0]?.length ?? 0, t[0]?.length ?? 0, 'cpu');
  // In two parts: sums do not depend on how positions are cut into batches.
  moments.add(rows(x.slice(0, 1)), rows(t.slice(0, 1)));
  moments.add(rows(x.slice(1)), rows(t.slice(1)));
  return moments;
}

const solved = (moments: Moments, ridge: number, intercept = false): LinearMap =>
  moments.solve(ridge, intercept) as LinearMap;

describe('moments', () => {
  // Two units that stayed and one that went, at three positions.
  const x = [
    [1, 0],
    [0, 1],
    [1, 1],
  ];
  const t = [[1], [2], [3]];

  it('give the ridge regression that is computed by hand', () => {
    // xᵀx = [2 1; 1 2], its mean diagonal 2, so that ridge 0.5 is λ = 1: [3 1; 1 3] M = (4, 5).
    const map = solved(momentsOf(x, t), 0.5);
    expect(map.weight.toNumbers()).toEqual([expect.closeTo(7 / 8, 12), expect.closeTo(11 / 8, 12)]);
    expect(map.bias.toNumbers()).toEqual([0]);
    // Residuals 1/8, 5/8 and 6/8.
    expect(momentsOf(x, t).squares(map)).toBeCloseTo(62 / 64, 12);
    expect(momentsOf(x, t).squares(undefined)).toBe(14);
  });

  it('weigh squares by a metric', () => {
    const map = solved(momentsOf(x, t), 0.5);
    const metric = eye(1, { dtype: 'float64' }).mul(4);
    expect(momentsOf(x, t).squares(map, metric)).toBeCloseTo(62 / 16, 12);
  });

  it('fit an intercept around the means, which the ridge does not hold back', () => {
    const shifted = x.map(([a = 0, b = 0]) => [a - 2 * b + 5]);
    const moments = momentsOf(x, shifted);
    const map = solved(moments, 1e-13, true);
    const [a = 0, b = 0] = map.weight.toNumbers();
    expect([a, b, ...map.bias.toNumbers()]).toEqual([
      expect.closeTo(1, 10),
      expect.closeTo(-2, 10),
      expect.closeTo(5, 10),
    ]);
    expect(moments.squares(map)).toBeCloseTo(0, 10);
    // All of the slope is taken away by a huge ridge, and the mean stays.
    expect(solved(moments, 1e9, true).bias.item()).toBeCloseTo(5 - 2 / 3, 6);
  });

  it('take singular equations, whose solution the ridge divides evenly', () => {
    const twice = x.map(([a = 0]) => [a, a]);
    const map = solved(momentsOf(twice, t), 1e-6);
    const [first = NaN, second = NaN] = map.weight.toNumbers();
    // The sum of both is sum(x t) / sum(x²) = 4 / 2.
    expect(first).toBeCloseTo(1, 5);
    expect(second).toBeCloseTo(first, 9);
  });

  it('have no solution for inputs that are all zero, or not finite', () => {
    expect(momentsOf([[0], [0]], [[1], [2]]).solve(1e-3, false)).toBeUndefined();
    expect(momentsOf([[NaN], [0]], [[1], [2]]).solve(1e-3, false)).toBeUndefined();
  });
});
