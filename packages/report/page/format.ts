// Numbers as people read them, as in the terminal; they are the same in every language.
import * as numbers from 'mamba-prune/format';

export { count, digits, grouped, milliseconds } from 'mamba-prune/format';

/** Without what only tells of precision: the ticks of an axis. */
export const tick = (text: string): string =>
  text.replace(/(\.\d*?)0+(?=\D|$)/, '$1').replace(/\.(?=\D|$)/, '');

/** What is not known has a dash of the page's font. */
const orDash =
  <T>(text: (value: number, more?: T) => string) =>
  (value: number | null | undefined, more?: T): string =>
    value === null || value === undefined ? '–' : text(value, more);

/** 0.8712 gives 87.12% */
export const percent = orDash<number>(numbers.percent);

export const bytes = orDash<never>(numbers.bytes);

/** +0.12 or −0.12, in points of a percent. */
export const points = (value: number, decimals = 2): string =>
  `${value < 0 ? '−' : '+'}${Math.abs(100 * value).toFixed(decimals)}`;

/** 1.2e-5 where 0.000012 is hard to read. */
export const scientific = (value: number): string =>
  value !== 0 && Math.abs(value) < 1e-3 ? value.toExponential(1) : numbers.digits(value);
