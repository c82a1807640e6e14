import { describe, expect, it } from 'vitest';
import { mean, pairedTest, sampleDeviation, studentInside, studentQuantile } from './statistics.js';

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

  it('refuses lists that are not pairs', () => {
    expect(() => pairedTest([1, 2], [1])).toThrow('got 2 and 1 values, expected pairs');
    expect(() => pairedTest([], [])).toThrow('expected pairs');
  });
});
