/**
 * Numbers as people read them, in the terminal, in a report and in pictures. Each function gives the unit too; nothing
 * else is needed here, so that pages in a browser can have them.
 * @module mamba-prune/format
 */

/** From here on the digits of a whole number are more than anybody reads. */
const tooLong = 1e9;

/** Three significant digits: 0.0123, 1.23, 12.3, 123; whole numbers from 1,000; 1.23e9 from there on. */
export function digits(value: number, significant = 3): string {
  if (!Number.isFinite(value)) return '-';
  if (value === 0) return '0';
  // Rounded first: 0.99995 has the digits of 1.00.
  const rounded = Number(value.toPrecision(significant));
  if (Math.abs(rounded) >= tooLong) return exponential(value, significant);
  const magnitude = Math.floor(Math.log10(Math.abs(rounded)));
  if (magnitude >= Math.max(3, significant)) return grouped(value);
  return value.toFixed(Math.min(6, Math.max(0, significant - 1 - magnitude)));
}

/** 1.23e16, at any size */
function exponential(value: number, significant = 3): string {
  return value.toExponential(significant - 1).replace('e+', 'e');
}

/** A loss with as many digits as a column of them has room for: 0.1235, 1234.5678, 12,346, 1.235e16 */
export function lossFigure(loss: number): string {
  if (!Number.isFinite(loss) || Math.abs(loss) < 1e4) return loss.toFixed(4);
  return Math.abs(loss) < 1e6 ? digits(loss, 4) : exponential(loss, 4);
}

/** 950, 12.3 K, 1.67 M, 2.54 G */
export function count(value: number): string {
  for (const [unit, factor] of [
    ['G', 1e9],
    ['M', 1e6],
    ['K', 1e3],
  ] as const) {
    // 999,950 is 1.00 M, not 1000 K.
    if (Math.abs(value) >= factor * 0.9995) return `${digits(value / factor)} ${unit}`;
  }
  return String(Math.round(value));
}

/** Rounded: 1,234,567 */
export function grouped(value: number): string {
  return Math.round(value).toLocaleString('en-US');
}

/** @param value - 0.8712 gives 87.12% */
export function percent(value: number | null | undefined, decimals = 2): string {
  if (value === null || value === undefined || Number.isNaN(value)) return '-';
  return `${(100 * value).toFixed(decimals)}%`;
}

/** +0.12 or -0.12, in points of a percent; 0.00 for what rounds to nothing. */
export function pointsText(value: number, decimals = 2): string {
  const size = Math.abs(100 * value).toFixed(decimals);
  if (Number(size) === 0) return size;
  return `${value < 0 ? '-' : '+'}${size}`;
}

/** Binary units: 512 B, 12.3 KiB, 6.42 MiB */
export function bytes(value: number): string {
  for (const [unit, factor] of [
    ['GiB', 2 ** 30],
    ['MiB', 2 ** 20],
    ['KiB', 2 ** 10],
  ] as const) {
    if (value >= factor) return `${digits(value / factor)} ${unit}`;
  }
  return `${value} B`;
}

/** 0.842 ms, 12.3 ms, 1.23 s */
export function milliseconds(value: number): string {
  return value >= 1000 ? `${digits(value / 1000)} s` : `${digits(value)} ms`;
}

/** 0:42, 12:05, 1:02:33 */
export function clock(seconds: number): string {
  if (!Number.isFinite(seconds) || seconds < 0) return '-:--';
  const whole = Math.round(seconds);
  const two = (value: number): string => String(value).padStart(2, '0');
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return h > 0 ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

/** 1.92x */
export function times(value: number): string {
  return `${digits(value)}x`;
}

/** `1 epoch`, `3 epochs` */
export function plural(value: number, noun: string, nouns = `${noun}s`): string {
  return `${grouped(value)} ${value === 1 ? noun : nouns}`;
}
