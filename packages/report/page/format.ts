// Numbers as people read them, as in the terminal; they are the same in every language.
import * as numbers from 'mamba-prune/format';

export { count, digits, grouped, milliseconds } from 'mamba-prune/format';

/** Without what only tells of precision: the ticks of an axis. */
export const tick = (text: string): string =>
  text.replace(/(\.\d*?)0+(?=\D|$)/, '$1').replace(/\.(?=\D|$)/, '');

/** Of units, decimal and binary, from thousandths up. */
const factors = [1e-6, 1e-3, 1, 1e3, 1e6, 1e9, 1e12, 2 ** 10, 2 ** 20, 2 ** 30, 2 ** 40];
const mostDecimals = 9;

/**
 * The texts of an axis's ticks: as `text` has them, or with as many decimals more as tell them apart, where they are
 * nearly equal.
 */
export function tickTexts(text: (value: number) => string, values: readonly number[]): string[] {
  const usual = values.map((value) => tick(text(value)));
  const isDistinct = (texts: readonly string[]): boolean => new Set(texts).size === values.length;
  const most = Math.max(...values);
  const [, head = '', unit = ''] = /^([\d.]+)(.*)$/.exec(text(most)) ?? [];
  if (isDistinct(usual) || head === '') return usual;
  const off = (factor: number): number => Math.abs(Math.log(most / Number(head) / factor));
  const factor = factors.reduce((a, b) => (off(b) < off(a) ? b : a));
  let texts = usual;
  for (let decimals = 0; decimals <= mostDecimals && !isDistinct(texts); decimals++) {
    texts = values.map((value) => `${(value / factor).toFixed(decimals)}${unit}`);
  }
  return isDistinct(texts) ? texts : usual;
}

/** `tickTexts` for an axis of Plot, which gives all of its ticks along with each. */
export const tickFormat =
  (text: (value: number) => string) =>
  (value: number, index: number, values: readonly number[] = [value]): string =>
    tickTexts(text, values)[index] ?? tick(text(value));

/** What is not known has a dash of the page's font. */
const orDash =
  <T>(text: (value: number, more?: T) => string) =>
  (value: number | null | undefined, more?: T): string =>
    value === null || value === undefined ? '–' : text(value, more);

/** 0.8712 gives 87.12% */
export const percent = orDash<number>(numbers.percent);

export const bytes = orDash<never>(numbers.bytes);

/** +0.12 or −0.12, in points of a percent; 0.00 for what rounds to nothing. */
export const points = (value: number, decimals = 2): string =>
  withMinus(numbers.pointsText(value, decimals));

/** Two decimals, with a sign where there is anything to have one. */
export const statistic = (value: number): string =>
  withMinus(value.toFixed(2).replace(/^-(?=0\.00$)/, ''));

/** The sign of a font in place of a hyphen. */
export const withMinus = (text: string): string => text.replace('-', '−');

/** 1.2e-5 where 0.000012 is hard to read. */
export const scientific = (value: number): string =>
  value !== 0 && Math.abs(value) < 1e-3 ? value.toExponential(1) : numbers.digits(value);
