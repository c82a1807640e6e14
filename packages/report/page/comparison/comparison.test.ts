// The picture of a comparison, as a file and in the parts that need no browser.
import { describe, expect, it } from 'vitest';
import type { PicturedComparison } from '../../src/page-data/comparison.js';
import { elementsIn, placeOf, readPicture } from '../../src/testing/read-picture.js';
import { guessedWidth } from '../charts/guessed-width.js';
import { comparisonSvg } from './file.js';
import { layOut, layOutLegend, nameSizes } from './layout.js';
import { linearAxis, logAxis, logTicks } from './macs-axis.js';

const heading = { title: 'Accuracy against cost', lines: ['3 seeds', '4 epochs'] };

type Result = readonly [method: string, rate: number, macs: number, accuracies: readonly number[]];

function compared(results: readonly Result[]): PicturedComparison {
  return {
    methods: results.map(([method, rate, macs, accuracies]) => ({
      method,
      rate,
      macs,
      accuracy: mean(accuracies),
      deviation: deviation(accuracies),
    })),
    runs: results.flatMap(([method, rate, , accuracies]) =>
      accuracies.map((accuracy, seed) => ({ method, rate, seed, accuracy })),
    ),
  };
}

const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;

function deviation(values: readonly number[]): number | null {
  if (values.length < 2) return null;
  const squares = values.reduce((sum, value) => sum + (value - mean(values)) ** 2, 0);
  return Math.sqrt(squares / (values.length - 1));
}

const dense: Result = ['dense', 0, 7.95e6, [0.897, 0.896, 0.899]];
const results: readonly Result[] = [
  dense,
  ['oneshot', 0.7, 2.46e6, [0.885, 0.887, 0.884]],
  ['refill', 0.7, 2.46e6, [0.887, 0.888, 0.885]],
  ['rsst', 0.7, 2.46e6, [0.888, 0.886, 0.889]],
];

/** Three methods at each of the rates, beside a dense model. */
const atRates = (rates: readonly number[]): readonly Result[] =>
  rates.flatMap((rate) =>
    ['oneshot', 'refill', 'rsst'].map((method, i): Result => [
      method,
      rate,
      7.95e6 * (1.03 - rate),
      [0.88 + 0.0001 * i, 0.89],
    ]),
  );

const fewAndMany: readonly (readonly [string, readonly number[]])[] = [
  ['two', [0.5, 0.9]],
  ['two that are close', [0.7, 0.71]],
  ['nineteen', Array.from({ length: 19 }, (_, i) => 0.05 * (i + 1))],
  ['ninety-nine', Array.from({ length: 99 }, (_, i) => 0.01 * (i + 1))],
];

describe('the picture of a comparison', () => {
  it('shows what the results hold: seeds, means, deviations, sizes', () => {
    const { methods, runs } = compared(results);
    const picture = readPicture(comparisonSvg({ methods, runs }, heading));
    // The smallest size comes first, so that the dense models are drawn last.
    const drawn = [...methods.slice(1), ...methods.slice(0, 1)];
    const rounded = (value: number): number => Number(value.toFixed(5));
    expect(picture.seeds).toEqual([
      ...runs.slice(3).map(({ accuracy }) => accuracy),
      ...runs.slice(0, 3).map(({ accuracy }) => accuracy),
    ]);
    expect(picture.means).toEqual(drawn.map(({ accuracy }) => rounded(accuracy)));
    expect(picture.deviations).toEqual(
      drawn.map(({ accuracy, deviation: spread }) => [
        rounded(accuracy - (spread ?? NaN)),
        rounded(accuracy + (spread ?? NaN)),
      ]),
    );
    expect(picture.sizes).toEqual([2.46e6, 7.95e6]);
  });

  it('says what is what', () => {
    const { texts } = readPicture(comparisonSvg(compared(results), heading));
    expect(texts('heading')).toEqual(['Accuracy against cost', '3 seeds', '4 epochs']);
    expect(texts('methods')).toEqual(['dense', 'one-shot', 'Refill', 'RSST']);
    expect(texts('names')).toEqual(['70% removed', 'dense']);
    expect(texts('costs')).toEqual(['2.46 M', '7.95 M']);
    expect(texts('values')).toEqual(['88.53', '88.67', '88.77', '89.73']);
  });

  it('has a logarithmic axis where small sizes would crowd on a linear one', () => {
    const svg = comparisonSvg(compared([dense, ...atRates([0.5, 0.7, 0.8, 0.9, 0.95])]), heading);
    const picture = readPicture(svg);
    const exact = [0.95, 0.9, 0.8, 0.7, 0.5].map((rate) => 7.95e6 * (1.03 - rate));
    expect(picture.sizes).toEqual([...exact, 7.95e6].map((macs) => Number(macs.toPrecision(4))));
    expect(picture.texts('names')).toEqual(['−95%', '−90%', '−80%', '−70%', '−50%', 'dense']);
    const ticks = elementsIn(svg, 'aria-label="x-axis tick label"').map(({ text }) => text);
    expect(ticks).toEqual(['1 M', '2 M', '5 M']);
  });

  it('joins the sizes of a method, but no two dense models', () => {
    const another: Result = ['dense', 0, 7.95e6, [0.9]];
    const svg = comparisonSvg(compared([dense, another, ...atRates([0.5, 0.7, 0.9])]), heading);
    expect(elementsIn(svg, 'class="sizes-of-method"')).toHaveLength(3 * 2);
  });

  it('joins equal methods by the same lines, from band to band', () => {
    const equal = atRates([0.5, 0.9]).map(([method, rate, macs]): Result => [
      method,
      rate,
      macs,
      [1 - rate],
    ]);
    const lines = elementsIn(
      comparisonSvg(compared(equal), heading),
      'class="sizes-of-method"',
    ).map(({ attributes }) => attributes['d']);
    expect(lines).toHaveLength(3);
    expect(new Set(lines).size).toBe(1);
    const { sizes, joins } = layOut(compared(equal), 700);
    expect(joins[0]?.from[0]).toBe(sizes[0]?.right);
    expect(joins[0]?.to[0]).toBe(sizes[1]?.left);
  });

  it('stands on white, in colours that every viewer knows', () => {
    const svg = comparisonSvg(compared(results), heading);
    expect(svg).toMatch(/^<svg [^>]*><rect width="\d+" height="\d+" fill="white"\/><svg /);
    expect(svg).not.toMatch(/var\(|currentColor|NaN|undefined|Infinity|<style/);
  });

  it('draws no bar for one seed, and copes with equal values', () => {
    const single = results.map(([method, rate, macs]): Result => [method, rate, macs, [0.9]]);
    const svg = comparisonSvg(compared(single), heading);
    const { deviations, means } = readPicture(svg);
    expect({ deviations, means }).toEqual({ deviations: [], means: [0.9, 0.9, 0.9, 0.9] });
    expect(svg).not.toContain('NaN');
  });

  it('names no accuracy above 100%', () => {
    const whole = results.map(([method, rate, macs]): Result => [method, rate, macs, [1]]);
    const svg = comparisonSvg(compared(whole), heading);
    const ticks = elementsIn(svg, 'aria-label="y-axis tick label"').map(({ text }) => text);
    expect(ticks).toContain('100%');
    expect(ticks.filter((text) => Number.parseFloat(text) > 100)).toEqual([]);
  });

  it('cuts a title that is too long for it, in its middle', () => {
    const title = `Accuracy on ${'imagenet-'.repeat(30)}100`;
    const { texts } = readPicture(comparisonSvg(compared(results), { ...heading, title }));
    expect(texts('heading')[0]).toMatch(/^Accuracy on .{15,60}….{10,60}-100$/);
  });

  it('escapes what names hold', () => {
    const svg = comparisonSvg(compared(results), { ...heading, title: 'a <b> & "c"' });
    expect(svg).toContain('a &lt;b&gt; &amp; "c"');
  });

  it('is the same picture for the same results', () => {
    const [first, second] = [1, 2].map(() => comparisonSvg(compared(results), heading));
    expect(first).toBe(second);
  });

  /** Boxes of all texts, with the groups' own shifts. */
  function boxes(svg: string) {
    return Array.from(svg.matchAll(/<g([^>]*)>(?:(?!<\/?g).)*<\/g>/gs)).flatMap(
      ([whole, tag = '']) => {
        const [shiftX, shiftY] = placeOf({
          name: 'g',
          text: '',
          attributes: { transform: /transform="([^"]*)"/.exec(tag)?.[1] ?? 'translate(0,0)' },
        });
        const size = Number(/font-size="([\d.]+)/.exec(tag)?.[1] ?? 12);
        const anchor = /text-anchor="(\w+)"/.exec(tag)?.[1] ?? 'middle';
        return elementsIn(whole, '').flatMap((element) => {
          if (element.name !== 'text') return [];
          const [x, y] = placeOf(element);
          const width = guessedWidth(element.text, size);
          const left =
            shiftX +
            x -
            { start: 0, middle: 0.5, end: 1 }[anchor as 'start' | 'middle' | 'end'] * width;
          // From where its first line begins: `y` is in units of the font's size.
          const top = shiftY + y + (parseFloat(element.attributes['y'] ?? '0') - 0.71) * size;
          return [
            { text: element.text, left, right: left + width, top, bottom: top + 0.75 * size },
          ];
        });
      },
    );
  }

  it.each(fewAndMany)('writes no text on another one, for %s rates', (_what, rates) => {
    const many = atRates(rates);
    for (const shown of [
      [dense, ...many],
      [dense, ...many.slice(0, 1)],
    ]) {
      const all = boxes(comparisonSvg(compared(shown), heading));
      expect(all.length).toBeGreaterThan(15);
      const pairs = all.flatMap((box, i) =>
        all
          .slice(i + 1)
          .filter(
            ({ left, right, top, bottom }) =>
              left < box.right && box.left < right && top < box.bottom && box.top < bottom,
          )
          .map(({ text }) => `${text} on ${box.text}`),
      );
      expect(pairs).toEqual([]);
    }
  });
});

describe('the layout of a comparison', () => {
  it.each([
    [300, [0.5, 0.7, 0.9]],
    [700, [0.4, 0.5, 0.6, 0.7, 0.8, 0.9]],
  ])('keeps bands apart and methods side by side, %i px wide, at rates %j', (width, rates) => {
    const { sizes, columns, spread } = layOut(compared([dense, ...atRates(rates)]), width);
    expect(sizes.map(({ rate }) => rate)).toEqual([...rates.toSorted((a, b) => b - a), 0]);
    sizes.slice(1).forEach(({ left }, i) => {
      expect(left).toBeGreaterThan(sizes[i]?.right ?? Infinity);
    });
    const [first = NaN, second = NaN, third = NaN] = columns.map(({ x }) => x);
    // Nine decimals: sums of pixels are rounded.
    expect(second - first).toBeCloseTo(spread, 9);
    expect(third - second).toBeCloseTo(spread, 9);
    expect(first).toBeGreaterThan(0);
  });

  it.each([
    ['two rates of equal MACs', [0.7, 0.8], [2.4e6, 2.4e6]],
    ['three, two of which nearly', [0.5, 0.7, 0.8], [4e6, 2.42e6, 2.4e6]],
    ['four, all beside the axis', [0.9, 0.95, 0.97, 0.99], [2e5, 2e5, 1e5, 1e5]],
    ['one of the size of the dense model', [0.1, 0.7], [7.95e6, 2.4e6]],
  ] as const)('gives each rate a band of its own, for %s', (_what, rates, macs) => {
    for (const width of [300, 700]) {
      const cut = rates.flatMap((rate, i): Result[] =>
        ['oneshot', 'refill'].map((method) => [method, rate, macs[i] ?? NaN, [0.88, 0.89]]),
      );
      const { sizes, columns } = layOut(compared([dense, ...cut]), width);
      sizes.slice(1).forEach(({ left }, i) => {
        expect(left).toBeGreaterThan(sizes[i]?.right ?? Infinity);
      });
      expect(sizes[0]?.left).toBeGreaterThanOrEqual(0);
      expect(sizes.at(-1)?.right).toBeLessThanOrEqual(width);
      for (const { rate, x } of columns) {
        const own = sizes.filter(({ left, right }) => left < x && x < right);
        expect(own.map((size) => size.rate)).toEqual([rate]);
      }
    }
  });

  it('has the kind of axis that the sizes ask for, whatever the width', () => {
    const kinds = (rates: readonly number[]): string[] =>
      [300, 500, 700, 1200].map(
        (width) => layOut(compared([dense, ...atRates(rates)]), width).axis.type,
      );
    expect(new Set(kinds([0.5, 0.7, 0.9]))).toEqual(new Set(['linear']));
    expect(new Set(kinds([0.5, 0.7, 0.8, 0.9, 0.95]))).toEqual(new Set(['log']));
    // Nothing else than one size: there is no ratio to show.
    expect(layOut(compared([dense]), 700).axis.type).toBe('linear');
  });

  it('takes back what it has placed, on either axis', () => {
    for (const axis of [linearAxis(8e6, 700, 50), logAxis(4e5, 8e6, 700, 50)]) {
      expect(axis.toPixels(8e6)).toBeCloseTo(650, 9);
      expect(axis.toMacs(axis.toPixels(2e6))).toBeCloseTo(2e6, 3);
    }
    const log = logAxis(4e5, 8e6, 700, 50);
    expect(log.toPixels(4e5)).toBeCloseTo(50, 9);
    // The same ratio, the same length.
    expect(log.toPixels(8e5) - log.toPixels(4e5)).toBeCloseTo(
      log.toPixels(8e6) - log.toPixels(4e6),
      9,
    );
    expect(logTicks([3e6, 1.1e8])).toEqual([5e6, 1e7, 2e7, 5e7, 1e8]);
  });

  it('names all sizes whole or all in short, and leaves out what has no room', () => {
    const names = (middles: readonly number[]): string[] =>
      nameSizes(
        middles.map((middle) => ({ rate: 0, macs: 1, middle, left: middle, right: middle })),
        {
          names: () => ['a long name', 'short'],
          cost: () => '',
          edges: [0, 400],
          nameWidth: (text) => 10 * text.length,
          costWidth: () => 0,
        },
      ).map(({ name }) => name);
    expect(names([60, 200])).toEqual(['a long name', 'a long name']);
    expect(names([60, 120, 300])).toEqual(['short', 'short', 'short']);
    expect(names([60, 90, 120])).toEqual(['short', '', 'short']);
    // At the edge.
    expect(names([200, 380])).toEqual(['short', '']);
  });

  it('breaks a legend that is too wide', () => {
    const methods = ['a', 'b', 'c'].map((method) => ({ method, name: method.repeat(5) }));
    const rows = (width: number): number[] =>
      layOutLegend(methods, width, () => 50).map(({ row }) => row);
    expect([rows(1000), rows(170), rows(10)]).toEqual([
      [0, 0, 0],
      [0, 0, 1],
      [0, 1, 2],
    ]);
  });
});
