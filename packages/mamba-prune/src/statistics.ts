// Sums, and statistics of measured numbers: quantiles, and the spread that stands beside a median.

/** Added in their order, from 0. */
export function sum(values: Iterable<number>): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}

/** The value below which a share `q` of the sorted values lies, interpolated linearly. */
export function quantile(sorted: ArrayLike<number>, q: number): number {
  const place = (sorted.length - 1) * q;
  const low = Math.floor(place);
  const a = sorted[low];
  const b = sorted[Math.ceil(place)];
  if (a === undefined || b === undefined) return NaN;
  return a + (b - a) * (place - low);
}

export function sortedNumbers(values: Iterable<number>): Float64Array {
  return Float64Array.from(values).sort();
}

export function median(values: Iterable<number>): number {
  return quantile(sortedNumbers(values), 0.5);
}

/** How a repeated measurement is spread. */
export interface Spread {
  readonly median: number;
  readonly q1: number;
  readonly q3: number;
  readonly min: number;
  readonly max: number;
}

export function spreadOf(values: Iterable<number>): Spread {
  const sorted = sortedNumbers(values);
  return {
    median: quantile(sorted, 0.5),
    q1: quantile(sorted, 0.25),
    q3: quantile(sorted, 0.75),
    min: quantile(sorted, 0),
    max: quantile(sorted, 1),
  };
}
