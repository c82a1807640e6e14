// Text on squares of any opacity, by WCAG's AA.
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { cards, contrast, fills, luminance, readableOn, textOn } from '../page/charts/text-on.js';

const theme = readFileSync(new URL('../page/style/theme.css', import.meta.url), 'utf8');
const inTheme = (name: string): string[] =>
  (new RegExp(`${name}: light-dark\\((#\\w+), (#\\w+)\\)`).exec(theme) ?? []).slice(1);

const rgb = (hex: string): [number, number, number] => {
  const part = (at: number): number => parseInt(hex.slice(at, at + 2), 16);
  return [part(1), part(3), part(5)];
};

describe('the colour of text on squares', () => {
  it('goes by the colours of the theme', () => {
    expect(inTheme('--card')).toEqual(cards);
    for (const [name, colours] of Object.entries(fills)) expect(inTheme(name)).toEqual(colours);
  });

  it('can be read at every opacity, light and dark', () => {
    const low = Object.values(fills).flatMap((colours) =>
      cards.flatMap((card, which) =>
        Array.from({ length: 101 }, (_, i) => i / 100).flatMap((opacity) => {
          const fill = colours[which] ?? '';
          const [over, under] = [rgb(fill), rgb(card)];
          const at = (i: 0 | 1 | 2): number => over[i] * opacity + under[i] * (1 - opacity);
          const text = readableOn(fill, card, opacity) === '#fff' ? 1 : 0;
          const ratio = contrast(text, luminance([at(0), at(1), at(2)]));
          return ratio < 4.5 ? [`${fill} at ${opacity} on ${card}: ${ratio.toFixed(2)}`] : [];
        }),
      ),
    );
    expect(low).toEqual([]);
  });

  it('is black on pale squares and white on strong ones, and the reverse on a dark page', () => {
    expect(textOn('--accent', 0.1)).toBe('light-dark(#000, #fff)');
    expect(textOn('--accent', 1)).toBe('light-dark(#fff, #000)');
    // Known from WCAG: black on white.
    expect(contrast(luminance([0, 0, 0]), luminance([255, 255, 255]))).toBeCloseTo(21, 9);
  });
});
