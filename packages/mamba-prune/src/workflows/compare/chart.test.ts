import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { chartToPng, drawChart } from './chart.js';
import type { ChartPoint } from './chart-spec.js';
import { sampleDeviation } from './statistics.js';

function point(method: string, size: string, macs: number, accuracies: number[]): ChartPoint {
  return { method, size, macs, accuracies, deviation: sampleDeviation(accuracies) };
}

const points = [
  point('dense', 'dense', 7.95e6, [0.897, 0.896, 0.899]),
  point('oneshot', '70% removed', 2.46e6, [0.885, 0.887, 0.884]),
  point('refill', '70% removed', 2.46e6, [0.887, 0.888, 0.885]),
  point('rsst', '70% removed', 2.46e6, [0.888, 0.886, 0.889]),
];
const text = { title: 'Accuracy against cost', subtitle: ['3 seeds', '4 epochs'] };

const count = (svg: string, pattern: RegExp): number => svg.match(pattern)?.length ?? 0;
/** Text of the elements that show it. */
const texts = (svg: string): string[] =>
  Array.from(svg.matchAll(/<t(?:ext|span)[^>]*>([^<]*)/g), ([, shown = '']) => shown);

describe('drawChart', () => {
  it('shows every method, size and mean, on a white ground', async () => {
    const svg = await drawChart(points, text);
    expect(svg).toMatch(/^<svg .*<rect width="\d+" height="\d+" fill="white"\/>/);
    expect(texts(svg)).toEqual(
      expect.arrayContaining([
        ...['Accuracy against cost', '3 seeds', '4 epochs'],
        ...['dense', 'one-shot', 'Refill', 'RSST', '70% removed', '7.95 M', '2.46 M'],
        // The ticks of the axis.
        ...['0', '2 M', '8 M'],
        ...['89.73', '88.53', '88.67', '88.77'],
      ]),
    );
    expect(svg).not.toMatch(/NaN|undefined|Infinity/);
  });

  it('draws a small dot for every seed and a bar of one deviation for every mean', async () => {
    const svg = await drawChart(points, text);
    // Seeds are the only marks of this opacity.
    expect(count(svg, /opacity="0.45"/g)).toBe(12);
    expect(count(svg, /<line[^>]*stroke-width="2.5"[^>]*opacity="0.9"/g)).toBe(4);
  });

  it('draws no bar for one seed, and copes with equal values', async () => {
    const svg = await drawChart(
      points.map((p) => ({ ...p, accuracies: [0.9], deviation: NaN })),
      text,
    );
    expect(count(svg, /<line[^>]*stroke-width="2.5"[^>]*opacity="0.9"/g)).toBe(0);
    expect(svg).not.toContain('NaN');
  });

  it('keeps many sizes apart', async () => {
    const more = [0.5, 0.6, 0.8, 0.9].flatMap((rate) =>
      ['oneshot', 'refill', 'rsst'].map((method) =>
        point(method, `${100 * rate}% removed`, 7.95e6 * (1.03 - rate), [0.88, 0.89]),
      ),
    );
    const svg = await drawChart([...points, ...more], text);
    // The bands behind the sizes: the straight part of their upper edge, 6 pixels short on both sides.
    const edges = /<path d="M([\d.]+),0L([\d.]+),0C[^>]*fill="#f3f6f9"/g;
    const bands = Array.from(svg.matchAll(edges), ([, from, to]) => [
      Number(from) - 6,
      Number(to) + 6,
    ]).sort(([a = 0], [b = 0]) => a - b);
    expect(bands).toHaveLength(6);
    bands.slice(1).forEach(([from], i) => {
      expect(from).toBeGreaterThan(bands[i]?.[1] ?? Infinity);
    });
  });

  /** Of texts in groups that share their axes, by their middles; a guess of their width. */
  function boxes(svg: string) {
    const sections = svg.split('class="mark-text role-').slice(1);
    const inPlot = sections.filter((section) => section.startsWith('mark"')).join('');
    const onAxes = sections.filter((section) => section.startsWith('axis-label"'));
    return [inPlot, ...onAxes].map((section) => {
      const found = section.matchAll(
        /<text text-anchor="(?:middle|end)" transform="translate\(([-\d.]+),([-\d.]+)\)"[^>]*font-size="([\d.]+)px"[^>]*>([^<]+)</g,
      );
      return Array.from(found, ([, x, y, size, shown = '']) => {
        const half = 0.29 * Number(size) * shown.length;
        return { shown, left: Number(x) - half, right: Number(x) + half, y: Number(y) };
      });
    });
  }

  it.each([
    ['two', [0.5, 0.9]],
    ['two that are close', [0.7, 0.71]],
    ['twenty', Array.from({ length: 19 }, (_, i) => 0.05 * (i + 1))],
    ['a hundred', Array.from({ length: 99 }, (_, i) => 0.01 * (i + 1))],
  ])('writes no text on another one, for %s sizes', async (_what, rates) => {
    const many = rates.flatMap((rate) =>
      ['oneshot', 'refill', 'rsst'].map((method, i) =>
        point(method, `${Number((100 * rate).toFixed(2))}% removed`, 7.95e6 * (1.03 - rate), [
          ...[0.88 + 0.0001 * i, 0.89],
        ]),
      ),
    );
    const dense = points.slice(0, 1);
    for (const shown of [
      [...dense, ...many],
      [...dense, ...many.slice(0, 1)],
    ]) {
      for (const all of boxes(await drawChart(shown, text))) {
        expect(all.length).toBeGreaterThan(1);
        all.forEach((box, i) => {
          const on = all.slice(i + 1).find(({ y, left, right }) => {
            return Math.abs(y - box.y) < 10 && left < box.right && box.left < right;
          });
          expect(on && `${on.shown} on ${box.shown}`).toBeUndefined();
        });
      }
    }
  });

  it('cuts a title that is too long for it', async () => {
    const long = await drawChart(points, {
      ...text,
      title: `Accuracy on ${'imagenet-'.repeat(30)}`,
    });
    expect(texts(long).find((shown) => shown.startsWith('Accuracy on'))).toMatch(/^.{40,110}…$/);
  });

  it('is the same picture for the same results', async () => {
    expect(await drawChart(points, text)).toBe(await drawChart(points, text));
  });
});

describe('chartToPng', () => {
  it('has twice the pixels of the SVG, and ink in it', async () => {
    const svg = await drawChart(points, text);
    const [, width, height] = /<svg [^>]*width="(\d+)" height="(\d+)"/.exec(svg) ?? [];
    const png = sharp(await chartToPng(svg));
    expect(await png.metadata()).toMatchObject({
      format: 'png',
      width: 2 * Number(width),
      height: 2 * Number(height),
    });
    const { channels } = await png.stats();
    expect(channels[0]?.min).toBeLessThan(80);
    expect(channels[0]?.max).toBe(255);
  });
});
