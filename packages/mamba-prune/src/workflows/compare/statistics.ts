// Whether a difference between two methods is more than the seeds explain.

export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** The spread of a sample, with n - 1 below the sum; NaN for fewer than two values. */
export function sampleDeviation(values: readonly number[]): number {
  if (values.length < 2) return NaN;
  const middle = mean(values);
  const squares = values.reduce((sum, value) => sum + (value - middle) ** 2, 0);
  return Math.sqrt(squares / (values.length - 1));
}

/**
 * P(|T| < t) for Student's t with a whole number of degrees of freedom, which is all that a test of n
 * pairs needs: a finite sum then, exact to rounding (Abramowitz and Stegun 1964, 26.7.3 and 26.7.4).
 */
export function studentInside(t: number, degrees: number): number {
  const angle = Math.atan(t / Math.sqrt(degrees));
  const square = Math.cos(angle) ** 2;
  const odd = degrees % 2 === 1;
  // The terms have the powers 1, 3, ... of the cosine, or 0, 2, ...
  let term = odd ? Math.cos(angle) : 1;
  let sum = degrees === 1 ? 0 : term;
  for (let k = odd ? 3 : 2; k < degrees; k += 2) {
    term *= (square * (k - 1)) / k;
    sum += term;
  }
  const series = Math.sin(angle) * sum;
  return odd ? (2 / Math.PI) * (angle + series) : series;
}

/** The t that a share `inside` of the distribution lies within, on both sides: 12.706 for 0.95 and 1. */
export function studentQuantile(inside: number, degrees: number): number {
  let high = 1;
  while (studentInside(high, degrees) < inside) high *= 2;
  let low = 0;
  // Halving until the two are neighbours.
  for (let middle = high / 2; middle > low && middle < high; middle = low + (high - low) / 2) {
    if (studentInside(middle, degrees) < inside) low = middle;
    else high = middle;
  }
  return high;
}

export interface PairedTest {
  /** Number of pairs. */
  readonly pairs: number;
  /** Mean of a - b. */
  readonly difference: number;
  /** Of a - b; null for a single pair. */
  readonly deviation: number | null;
  /** Null where the differences have no spread: the test says nothing then. */
  readonly t: number | null;
  /** Two-sided: how often chance alone gives a difference as large, if the methods are equally good. */
  readonly p: number | null;
  /** Where the true mean difference lies, with this confidence. */
  readonly interval: readonly [number, number] | null;
  readonly confidence: number;
}

/**
 * Student's t-test of pairs: the same seeds under two methods, so that what a seed does to both cancels.
 * @throws RangeError for lists of different or no length
 */
export function pairedTest(
  a: readonly number[],
  b: readonly number[],
  confidence = 0.95,
): PairedTest {
  if (a.length !== b.length || a.length === 0) {
    throw new RangeError(`pairedTest: got ${a.length} and ${b.length} values, expected pairs`);
  }
  const differences = a.map((value, i) => value - (b[i] as number));
  const difference = mean(differences);
  const pairs = a.length;
  const deviation = sampleDeviation(differences);
  // Equal differences but for rounding.
  const scale = Math.max(...a.map(Math.abs), ...b.map(Math.abs));
  if (!(deviation > 1e-12 * scale)) {
    const spread = pairs < 2 ? null : deviation;
    return { pairs, difference, deviation: spread, t: null, p: null, interval: null, confidence };
  }
  const error = deviation / Math.sqrt(pairs);
  const t = difference / error;
  const reach = error * studentQuantile(confidence, pairs - 1);
  return {
    pairs,
    difference,
    deviation,
    t,
    p: 1 - studentInside(Math.abs(t), pairs - 1),
    interval: [difference - reach, difference + reach],
    confidence,
  };
}
