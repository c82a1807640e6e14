// Numbers as people read them; they are the same in every language.

/** Three significant digits, without an exponent: 0.0123, 1.23, 12.3, 123; whole numbers from 1,000. */
export function digits(value: number, significant = 3): string {
  if (!Number.isFinite(value)) return '-';
  if (value === 0) return '0';
  const rounded = Number(value.toPrecision(significant));
  const magnitude = Math.floor(Math.log10(Math.abs(rounded)));
  if (magnitude >= Math.max(3, significant)) return grouped(Math.round(value));
  return value.toFixed(Math.min(6, Math.max(0, significant - 1 - magnitude)));
}

/** 950, 12.3 K, 1.67 M, 2.54 G: as in the terminal. */
export function count(value: number): string {
  for (const [unit, factor] of [
    ['G', 1e9],
    ['M', 1e6],
    ['K', 1e3],
  ] as const) {
    if (Math.abs(value) >= factor * 0.9995) return `${digits(value / factor)} ${unit}`;
  }
  return String(Math.round(value));
}

/** The same without what only tells of precision: the ticks of an axis. */
export const tick = (text: string): string =>
  text.replace(/(\.\d*?)0+(?=\D|$)/, '$1').replace(/\.(?=\D|$)/, '');

export const grouped = (value: number): string => Math.round(value).toLocaleString('en-US');

/** 0.8712 gives 87.12% */
export const percent = (value: number | null | undefined, decimals = 2): string =>
  value === null || value === undefined ? '–' : `${(100 * value).toFixed(decimals)}%`;

/** +0.12 or −0.12, in points of a percent. */
export const points = (value: number, decimals = 2): string =>
  `${value < 0 ? '−' : '+'}${Math.abs(100 * value).toFixed(decimals)}`;

export function bytes(value: number | null | undefined): string {
  if (value === null || value === undefined) return '–';
  for (const [unit, factor] of [
    ['GiB', 2 ** 30],
    ['MiB', 2 ** 20],
    ['KiB', 2 ** 10],
  ] as const) {
    if (value >= factor) return `${digits(value / factor)} ${unit}`;
  }
  return `${value} B`;
}

export const milliseconds = (value: number): string =>
  value >= 1000 ? `${digits(value / 1000)} s` : `${digits(value)} ms`;

/** 1.2e-5 where 0.000012 is hard to read. */
export const scientific = (value: number): string =>
  value !== 0 && Math.abs(value) < 1e-3 ? value.toExponential(1) : digits(value);
