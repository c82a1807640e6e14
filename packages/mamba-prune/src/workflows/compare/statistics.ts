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

/** From here down 1 - inside would lose more than the last digit of a probability, and far out all of it. */
const farOut = 0.1;

/**
 * P(|T| > t), the two-sided p of a t: what `studentInside` leaves of 1, but exact to rounding however little that is.
 *
 * It is the incomplete beta function I_x(a, 1/2) with a = degrees / 2 and x = 1 / (1 + t² / degrees), far out summed as
 * x^a / B(a, 1/2) · Σ_k c_k x^k / (a + k), c_k = Π_{j ≤ k} (j - 1/2) / j (Abramowitz and Stegun 1964, 6.6.8 with 15.1.1): all
 * terms are positive, so that nothing cancels.
 *
 * @returns above 0 for every finite t: the smallest number there is where the true one is smaller still
 */
export function studentOutside(t: number, degrees: number): number {
  const near = 1 - studentInside(Math.abs(t), degrees);
  if (near > farOut || Number.isNaN(near)) return near;
  if (!Number.isFinite(t)) return 0;
  const a = degrees / 2;
  // No square of t, which may overflow.
  const root = 1 / Math.hypot(1, t / Math.sqrt(degrees));
  const x = root * root;
  let sum = 1 / a;
  let factor = 1;
  for (let k = 1; ; k++) {
    factor *= ((k - 0.5) / k) * x;
    const term = factor / (a + k);
    sum += term;
    // What is left is at most term / (1 - x).
    if (term <= sum * (1 - x) * 2 ** -54) break;
  }
  return Math.max((root ** degrees * sum) / betaHalf(degrees), Number.MIN_VALUE);
}

/** B(degrees / 2, 1/2), from B(1/2, 1/2) or B(1, 1/2) up. */
function betaHalf(degrees: number): number {
  const odd = degrees % 2 === 1;
  let value = odd ? Math.PI : 2;
  for (let k = odd ? 1 : 2; k < degrees; k += 2) value *= k / (k + 1);
  return value;
}

/** The t that a share `inside` of the distribution lies within, on both sides: 12.706 for 0.95 and 1. */
export function studentQuantile(inside: number, degrees: number): number {
  const outside = 1 - inside;
  let high = 1;
  while (studentOutside(high, degrees) > outside) high *= 2;
  let low = 0;
  // Halving until the two are neighbours.
  for (let middle = high / 2; middle > low && middle < high; middle = low + (high - low) / 2) {
    if (studentOutside(middle, degrees) > outside) low = middle;
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
  /**
   * Two-sided: how often chance alone gives a difference as large, if the methods are equally good. Above 0 always.
   */
  readonly p: number | null;
  /** Where the true mean difference lies, with this confidence. */
  readonly interval: readonly [number, number] | null;
  readonly confidence: number;
}

/**
 * Student's t-test of pairs: the same seeds under two methods, so that what a seed does to both cancels.
 * @param confidence - between 0 and 1, both excluded
 * @throws RangeError for lists of different or no length, values that are not finite, or another confidence
 */
export function pairedTest(
  a: readonly number[],
  b: readonly number[],
  confidence = 0.95,
): PairedTest {
  if (a.length !== b.length || a.length === 0) {
    throw new RangeError(`pairedTest: got ${a.length} and ${b.length} values, expected pairs`);
  }
  if (!(confidence > 0 && confidence < 1)) {
    throw new RangeError(
      `pairedTest: got confidence ${confidence}, expected a share between 0 and 1, such as 0.95`,
    );
  }
  const bad = [...a, ...b].find((value) => !Number.isFinite(value));
  if (bad !== undefined) {
    throw new RangeError(`pairedTest: got the value ${bad}, expected finite numbers`);
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
    p: studentOutside(t, pairs - 1),
    interval: [difference - reach, difference + reach],
    confidence,
  };
}

/**
 * Holm's correction of several p: below a level only so many are as keep the chance of one or more false findings among all
 * at most there (Holm 1979). The k-th smallest of m is multiplied by m - k + 1, and no larger p gets less than a smaller one.
 * @param values - null for a test that there was none of, which counts for nothing
 * @returns in the order of `values`, at most 1
 * @throws RangeError for a p that is none
 */
export function holm(values: readonly (number | null)[]): (number | null)[] {
  const bad = values.find((p) => p !== null && !(p >= 0 && p <= 1));
  if (bad !== undefined) {
    throw new RangeError(`holm: got the p ${bad ?? ''}, expected numbers from 0 to 1`);
  }
  const order = values
    .flatMap((p, index) => (p === null ? [] : [{ p, index }]))
    .sort((a, b) => a.p - b.p);
  const adjusted: (number | null)[] = values.map(() => null);
  let least = 0;
  for (const [rank, { p, index }] of order.entries()) {
    least = Math.max(least, Math.min(1, p * (order.length - rank)));
    adjusted[index] = least;
  }
  return adjusted;
}
