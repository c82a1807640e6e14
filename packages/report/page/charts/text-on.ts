// The colour of text on a square whose colour shows a value by its opacity: black or white, whichever can be read.

type Rgb = readonly [number, number, number];

/** What such squares are filled with, on a light and on a dark card, as in `style/theme.css`. */
export const fills = {
  '--accent': ['#0a66c2', '#6cb2ff'],
  '--kept': ['#0072b2', '#3fa7ea'],
  '--rsst': ['#c75300', '#ff9350'],
} as const;
export const cards = ['#ffffff', '#151b23'] as const;

/** @param opacity - of the fill over a card, 0 to 1 */
export function textOn(fill: keyof typeof fills, opacity: number): string {
  const [light, dark] = fills[fill];
  return `light-dark(${readableOn(light, cards[0], opacity)}, ${readableOn(dark, cards[1], opacity)})`;
}

/** Of the two, one has at least 4.58 : 1 on any colour, where WCAG's AA asks for 4.5 : 1. */
export function readableOn(fill: string, card: string, opacity: number): '#000' | '#fff' {
  const [over, under] = [rgb(fill), rgb(card)];
  const mixed = (i: 0 | 1 | 2): number => over[i] * opacity + under[i] * (1 - opacity);
  const light = luminance([mixed(0), mixed(1), mixed(2)]);
  return contrast(light, 1) > contrast(light, 0) ? '#fff' : '#000';
}

function rgb(hex: string): Rgb {
  const part = (at: number): number => parseInt(hex.slice(at, at + 2), 16);
  return [part(1), part(3), part(5)];
}

/** Relative luminance of a colour in sRGB, by WCAG 2.2. */
export function luminance([red, green, blue]: Rgb): number {
  const linear = (value: number): number =>
    value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4;
  return 0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue);
}

/** Of two luminances, 1 to 21. */
export const contrast = (a: number, b: number): number =>
  (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
