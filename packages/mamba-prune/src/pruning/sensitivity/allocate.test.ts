import { describe, expect, it } from 'vitest';
import { Random, Stage } from '../../data/random.js';
import { type CostLimit, ratesFromSensitivity } from './allocate.js';
import { curveAt, lowerEnvelope, predictedLoss } from './curve.js';
import type { PartSensitivity, Sensitivity } from './measure.js';

interface PartSpec {
  readonly size: number;
  /** What one unit costs. */
  readonly cost: number;
  /** Increase of the loss when 1, 2 ... units are gone. */
  readonly increases: readonly number[];
}

const before = { loss: 1, accuracy: 1, parameters: 1000, macs: 1000 };

/** Groups a, b ... measured at every number of units, whose rates are those of a size that all divide. */
function measured(specs: readonly PartSpec[]): Sensitivity {
  const parts = specs.map(({ size, cost, increases }, i): PartSensitivity => ({
    name: 'abcdef'[i] ?? '',
    kinds: ['k'],
    groups: { ['abcdef'[i] ?? '']: size },
    points: increases.map((increase, gone) => ({
      ...before,
      rate: (gone + 1) / size,
      kept: size - gone - 1,
      loss: before.loss + increase,
      macs: before.macs - cost * (gone + 1),
    })),
  }));
  const rates = Array.from(
    { length: (specs[0]?.increases ?? []).length },
    (_, i) => (i + 1) / (specs[0]?.size ?? 1),
  );
  return { by: 'group', rates, roundTo: 1, dense: before, parts };
}

/** Convex: each unit costs more than the one before. */
function convex(random: Random, size: number): number[] {
  let [slope, total] = [random.uniform() * 0.1 - 0.02, 0];
  return Array.from({ length: size - 1 }, () => {
    total += slope;
    slope += random.uniform() * 0.1;
    return total;
  });
}

const costOf =
  (specs: readonly PartSpec[]) =>
  (widths: Readonly<Record<string, number>>): number =>
    specs.reduce((sum, { size, cost }, i) => {
      return sum - cost * (size - (widths['abcdef'[i] ?? ''] ?? size));
    }, before.macs);

/** The least predicted loss of all widths that meet a budget. */
function bruteForce(
  sensitivity: Sensitivity,
  sizes: readonly number[],
  meets: (widths: Record<string, number>) => boolean,
): number {
  let best = Infinity;
  const visit = (widths: Record<string, number>, at: number): void => {
    if (at === sizes.length) {
      if (meets(widths)) best = Math.min(best, predictedLoss(sensitivity, widths));
      return;
    }
    for (let width = 1; width <= (sizes[at] ?? 0); width++) {
      visit({ ...widths, ['abcdef'[at] ?? '']: width }, at + 1);
    }
  };
  visit({}, 0);
  return best;
}

const sizes = [6, 6, 6];

describe('rates from curves', () => {
  it('predict the least loss that there is for so many units', () => {
    const random = new Random();
    for (let run = 0; run < 12; run++) {
      random.seed(run, Stage.split);
      const specs = sizes.map((size) => ({ size, cost: 1, increases: convex(random, size) }));
      const sensitivity = measured(specs);
      for (const most of [4, 7, 11, 16]) {
        const found = ratesFromSensitivity(sensitivity, { metric: 'units', most });
        const units = (widths: Readonly<Record<string, number>>): number =>
          Object.values(widths).reduce((a, b) => a + b, 0);
        expect(units(found.widths)).toBeLessThanOrEqual(most);
        // Each unit is counted as it is measured, in sums of a few numbers.
        const least = bruteForce(sensitivity, sizes, (widths) => units(widths) <= most);
        expect(found.predictedLoss).toBeCloseTo(Math.min(least, found.predictedLoss), 12);
        expect(found.predictedLoss).toBeLessThanOrEqual(least + 1e-12);
      }
    }
  });

  it('predict the least loss for the multiply-accumulates that their steps come to', () => {
    const random = new Random();
    for (let run = 0; run < 12; run++) {
      random.seed(run, Stage.split, 1);
      const specs = sizes.map((size, i) => ({
        size,
        cost: [7, 20, 45][i] ?? 1,
        increases: convex(random, size),
      }));
      const sensitivity = measured(specs);
      const cost = costOf(specs);
      for (const asked of [950, 850, 700]) {
        const reached = ratesFromSensitivity(sensitivity, {
          metric: 'macs',
          most: asked,
          costOf: cost,
        });
        expect(reached.cost).toBeLessThanOrEqual(asked);
        // A budget that whole steps meet exactly has no better answer.
        const least = bruteForce(sensitivity, sizes, (widths) => cost(widths) <= reached.cost);
        expect(reached.predictedLoss).toBeLessThanOrEqual(least + 1e-12);
      }
    }
  });

  it('take the last step only as far as is needed', () => {
    // Measured at 0 and 4 units gone of each; b is dearer.
    const flat = (loss: number): number[] => [NaN, NaN, NaN, loss];
    const only = (spec: PartSpec): PartSpec => spec;
    const sensitivity = measured([
      only({ size: 5, cost: 10, increases: flat(0.1) }),
      only({ size: 5, cost: 10, increases: flat(0.9) }),
    ]);
    const parts = sensitivity.parts.map((part) => ({ ...part, points: part.points.slice(3) }));
    const two = { ...sensitivity, rates: [0.8], parts };
    const widths = (limit: CostLimit) =>
      ratesFromSensitivity(two, {
        ...limit,
        costOf: costOf([
          { size: 5, cost: 10, increases: [] },
          { size: 5, cost: 10, increases: [] },
        ]),
      }).widths;
    expect(widths({ metric: 'macs', most: 970 })).toEqual({ a: 2, b: 5 });
    expect(widths({ metric: 'macs', most: 960 })).toEqual({ a: 1, b: 5 });
    expect(widths({ metric: 'macs', most: 955 })).toEqual({ a: 1, b: 4 });
    expect(widths({ metric: 'macs', most: 1000 })).toEqual({ a: 5, b: 5 });
  });

  it('stay within the largest rate and round widths up', () => {
    const specs = [
      { size: 6, cost: 1, increases: [0.1, 0.2, 0.3, 0.4, 0.5] },
      { size: 6, cost: 1, increases: [1, 2, 3, 4, 5] },
    ];
    const sensitivity = measured(specs);
    const of = (options: object) =>
      ratesFromSensitivity(sensitivity, { metric: 'units', most: 8, ...options });
    expect(of({}).widths).toEqual({ a: 2, b: 6 });
    expect(of({}).rates).toEqual({ a: 1 - 2 / 6, b: 0 });
    expect(of({ maxRate: 0.5 }).widths).toEqual({ a: 3, b: 5 });
    expect(of({ roundTo: 4 }).widths).toEqual({ a: 4, b: 4 });
  });

  it('are refused where no measured rate reaches the budget, or points are missing', () => {
    const specs = [{ size: 4, cost: 100, increases: [1, 2, 3] }];
    const sensitivity = measured(specs);
    expect(() =>
      ratesFromSensitivity(sensitivity, { metric: 'macs', most: 600, costOf: costOf(specs) }),
    ).toThrow(
      'got a budget of 600 macs, expected at least 700, which are left when every group loses 0.75 of its units, the most that ' +
        'was measured or allowed. Measure higher rates, or cut less.',
    );
    expect(() => ratesFromSensitivity(sensitivity, { metric: 'macs', most: 900 })).toThrow(
      'got metric macs without `costOf`, expected both. A target of budgetTargets has such a function',
    );
    const [part] = sensitivity.parts;
    const missing = { ...sensitivity, parts: part ? [{ ...part, points: [] }] : [] };
    expect(() => ratesFromSensitivity(missing, { metric: 'units', most: 2 })).toThrow(
      'got a measurement that is not complete',
    );
  });
});

describe('a curve', () => {
  const at = (saved: number, increase: number) => ({ rate: saved / 10, saved, increase });
  const curve = [at(0, 0), at(2, 3), at(4, 2), at(6, 5), at(8, 4.5)];

  it('has an envelope below all its points, along which saving gets dearer', () => {
    expect(lowerEnvelope(curve)).toEqual([at(0, 0), at(4, 2), at(8, 4.5)]);
    // One on the straight line between two others adds nothing.
    expect(lowerEnvelope([at(0, 0), at(2, 1), at(4, 2)])).toEqual([at(0, 0), at(4, 2)]);
  });

  it('is straight between its points and beyond them', () => {
    expect(curveAt(curve, 0.1)).toEqual({ rate: 0.1, saved: 1, increase: 1.5 });
    expect(curveAt(curve, 0.6).increase).toBeCloseTo(5, 12);
    expect(curveAt(curve, 1).increase).toBeCloseTo(4, 12);
    expect(curveAt([at(0, 0)], 0.5).increase).toBe(0);
  });
});
