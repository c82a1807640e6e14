import { describe, expect, it } from 'vitest';
import {
  holm,
  mean,
  pairedTest,
  sampleDeviation,
  studentInside,
  studentOutside,
  studentQuantile,
} from './statistics.js';

// The expected values are those of SciPy 1.17.1: 2 * stats.t.sf(t, degrees), stats.t.ppf and
// stats.ttest_rel, to the digits printed; hence the tolerances of a few units of the last digit.
describe("Student's t", () => {
  it.each([
    [1, 0.1, 0.936548965138893],
    [1, 2.5, 0.242237883181687],
    [2, 1.0, 0.422649730810374],
    [2, 8.0, 0.0152680721653381],
    [3, 2.5, 0.0877066470080656],
    [4, 2.5, 0.0667665448119881],
    [5, 0.1, 0.92423014115466],
    [9, 8.0, 2.21348168094002e-5],
    [10, 2.5, 0.0314468442366088],
    [29, 1.0, 0.325581988016194],
    [30, 8.0, 6.26582247570076e-9],
    [199, 2.5, 0.0132272599665077],
  ])('with %d degrees of freedom is beyond %d with probability %d', (degrees, t, p) => {
    // 1 - inside loses what is below the last bit of 1.
    expect(Math.abs(1 - studentInside(t, degrees) - p)).toBeLessThan(2e-15);
    expect(studentInside(-t, degrees)).toBe(-studentInside(t, degrees));
  });

  it.each([
    [1, 0.95, 12.706204736175],
    [2, 0.95, 4.3026527297495],
    [3, 0.99, 5.8409093097334],
    [9, 0.95, 2.2621571627982],
    [30, 0.99, 2.7499956535672],
  ])('with %d degrees of freedom has %d within +-%d', (degrees, inside, t) => {
    expect(studentQuantile(inside, degrees) / t).toBeCloseTo(1, 12);
  });
});

describe("Student's t far out", () => {
  // mpmath 1.3, betainc with 60 digits (SciPy 1.10 gives 0 for those under about 1e-150). In float64 the power of up to 199
  // multiplies one rounding of 1.1e-16 by as much, and so does the product of 99 factors.
  it.each([
    [1, 100000000.0, 6.366197723675813e-9],
    [1, 1e160, 6.366197723675813e-161],
    [1, 1e300, 6.366197723675813e-301],
    [2, 0.0, 1.0],
    [2, 1e-9, 0.9999999992928932],
    [2, 2.9, 0.1011801953080717],
    [2, 1000000.0, 9.999999999985e-13],
    [2, 1000000000.0, 1.0e-18],
    [3, 100000.0, 2.205315580893255e-15],
    [4, 200.0, 3.749375082021407e-9],
    [4, 10000000000000.0, 6.0e-52],
    [5, 1e60, 1.898033449112473e-299],
    [9, 1.9, 0.08988808901626867],
    [9, 60.0, 5.001190471672904e-13],
    [9, 1000000000000.0, 5.09179407421404e-105],
    [10, 1.7, 0.1199693459090204],
    [10, 1.85, 0.0940451168022562],
    [29, 10000.0, 2.353786608812438e-96],
    [30, 40.0, 1.37260451944064e-27],
    [199, 1.5, 0.1351992374415576],
    [199, 1.7, 0.0906932896382404],
    [199, 35.0, 5.571110168908313e-87],
    [199, 60.0, 2.10047909707556e-129],
  ])('has with %d degrees of freedom beyond %d the share %d', (degrees, t, p) => {
    expect(Math.abs(studentOutside(t, degrees) / p - 1)).toBeLessThan(5e-14);
    expect(studentOutside(-t, degrees)).toBe(studentOutside(t, degrees));
  });

  it('never says that chance is out of the question', () => {
    for (const [t, degrees] of [
      [1e13, 40],
      [1e300, 5],
      [Number.MAX_VALUE, 1000],
    ] as const) {
      expect(studentOutside(t, degrees)).toBe(Number.MIN_VALUE);
    }
  });

  it('falls as t rises, without a step where the two sums meet', () => {
    for (const degrees of [1, 2, 5, 30]) {
      const at = (t: number) => studentOutside(t, degrees);
      for (let t = 0; t < 12; t += 0.01) expect(at(t + 0.01)).toBeLessThan(at(t));
    }
  });

  it.each([
    [0.999999, 2, 999.9992499854659],
    [1 - 2 ** -40, 3, 13434.56228993828],
    [1 - 2 ** -52, 9, 141.6023202919415],
  ])('has the share %d with %d degrees of freedom within +-%d', (inside, degrees, t) => {
    expect(studentQuantile(inside, degrees) / t).toBeCloseTo(1, 13);
  });
});

describe('mean and deviation', () => {
  it('are those of a sample', () => {
    expect(mean([1, 2, 6])).toBe(3);
    expect(sampleDeviation([1, 2, 6])).toBe(Math.sqrt(7));
    expect(sampleDeviation([5])).toBeNaN();
  });
});

describe('the paired test', () => {
  const a = [0.8871, 0.8853, 0.8902, 0.8799, 0.884];
  const b = [0.8812, 0.8855, 0.8861, 0.872, 0.8801];

  it("gives SciPy's t, p and confidence interval", () => {
    const test = pairedTest(a, b);
    expect(test).toMatchObject({ pairs: 5, confidence: 0.95 });
    // The differences are near 0.004 and cancel 2 of 16 digits.
    expect(test.difference).toBeCloseTo(0.00432, 14);
    expect(test.deviation).toBeCloseTo(0.0029986663702386085, 14);
    expect(test.t).toBeCloseTo(3.221369925868237, 10);
    expect(test.p).toBeCloseTo(0.03223853185147833, 12);
    expect(test.interval?.[0]).toBeCloseTo(0.0005966639254503733, 12);
    expect(test.interval?.[1]).toBeCloseTo(0.008043336074549653, 12);
  });

  it('turns its sign with the order of the two, and not its p', () => {
    const [one, other] = [pairedTest(a, b), pairedTest(b, a)];
    expect(other.t).toBe(-(one.t as number));
    expect(other.p).toBe(one.p);
  });

  it('has no p where the differences have no spread, or there is one pair', () => {
    expect(pairedTest([0.8, 0.9], [0.7, 0.8])).toMatchObject({ t: null, p: null, interval: null });
    expect(pairedTest([0.8], [0.7])).toMatchObject({ pairs: 1, deviation: null, p: null });
    expect(pairedTest([0.5, 0.5], [0.5, 0.5])).toMatchObject({
      difference: 0,
      deviation: 0,
      p: null,
    });
  });

  it('gives a p above 0 for differences that hardly vary', () => {
    const noise = [1, -1, 2, -2, 1, 3, -1, -3, 1, 2].map((value) => value * 1e-9);
    for (const pairs of [3, 5, 8, 10]) {
      const [more, less] = [
        noise.slice(0, pairs).map((v) => 0.9 + v),
        Array<number>(pairs).fill(0.7),
      ];
      const { t, p } = pairedTest(more, less);
      // By hand, for two degrees of freedom: p = 1 - t / sqrt(2 + t²), which is 1 / t² for a large t.
      if (pairs === 3) expect(((p as number) * (t as number) ** 2 - 1) * 1e12).toBeCloseTo(0, 0);
      expect(p).toBeGreaterThan(0);
      expect(p).toBeLessThan(1e-12);
    }
  });

  it('refuses a confidence that is none, and values that are not finite', () => {
    for (const confidence of [0, 1, 95, -0.5, NaN]) {
      expect(() => pairedTest([1, 2], [2, 4], confidence)).toThrow(
        `got confidence ${confidence}, expected a share between 0 and 1`,
      );
    }
    for (const value of [NaN, Infinity]) {
      expect(() => pairedTest([1, value], [2, 4])).toThrow(`got the value ${value}`);
    }
  });

  it('refuses lists that are not pairs', () => {
    expect(() => pairedTest([1, 2], [1])).toThrow('got 2 and 1 values, expected pairs');
    expect(() => pairedTest([], [])).toThrow('expected pairs');
  });
});

describe("Holm's correction", () => {
  // By hand: sorted 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1 is 0.02, 0.03, 0.06, 0.04, and the last may not be less than 0.06.
  it('multiplies the smallest most, and keeps the order', () => {
    const [a, b, c, d] = holm([0.01, 0.04, 0.03, 0.005]);
    expect(a).toBeCloseTo(0.03, 15);
    expect(b).toBeCloseTo(0.06, 15);
    expect(c).toBeCloseTo(0.06, 15);
    expect(d).toBeCloseTo(0.02, 15);
  });

  it('gives at most 1, leaves a single p as it is, and does not count what was not tested', () => {
    expect(holm([0.6, 0.7])).toEqual([1, 1]);
    expect(holm([0.03])).toEqual([0.03]);
    expect(holm([0.02, null, 0.04])).toEqual([0.04, null, 0.04]);
    expect(holm([])).toEqual([]);
  });

  it('gives equal ones the same', () => {
    expect(holm([0.02, 0.02, 0.5])).toEqual([0.06, 0.06, 0.5]);
  });

  it.each([-0.1, 1.1, NaN])('refuses %d', (p) => {
    expect(() => holm([0.5, p])).toThrow(`got the p ${p}, expected numbers from 0 to 1`);
  });
});
