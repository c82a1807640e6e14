// The picture of a comparison as `mamba-prune compare` writes it.
import { readFileSync } from 'node:fs';
import { UsageError } from 'mamba-prune';
import type { ComparisonPicture } from 'mamba-prune/internal';
import sharp from 'sharp';
import { beforeAll, describe, expect, it } from 'vitest';
import { lightColours } from '../page/colours.js';
import { drawComparison } from './comparison-picture.js';
import { buildPage } from './testing/build-page.js';
import type { PictureHeading, PicturedComparison } from './page-data/comparison.js';
import { readPicture } from './testing/read-picture.js';

const methods = [
  { method: 'dense', rate: 0, accuracy: 0.9, deviation: 0.01, macs: 8e6 },
  { method: 'refill', rate: 0.7, accuracy: 0.88, deviation: 0.01, macs: 2.5e6 },
];
const runs = methods.flatMap(({ method, rate, accuracy }) =>
  [0, 1].map((seed) => ({ method, rate, seed, accuracy: accuracy + 0.01 * (seed - 0.5) })),
);

let picture: ComparisonPicture;
beforeAll(async () => {
  buildPage();
  picture = await drawComparison({ methods, runs }, { title: 'Accuracy', lines: ['of two'] });
});

describe('drawComparison', () => {
  it('draws without a browser, from the bundle', () => {
    const { means, texts } = readPicture(picture.svg);
    expect(means).toEqual([0.88, 0.9]);
    expect(texts('heading')).toEqual(['Accuracy', 'of two']);
  });

  it('has the colours of a light page', () => {
    const theme = readFileSync(new URL('../page/style/theme.css', import.meta.url), 'utf8');
    for (const [name, colour] of Object.entries(lightColours)) {
      expect(theme).toContain(`${name}: light-dark(${colour}, `);
    }
  });

  it('makes a PNG of twice the size, with letters in it', async () => {
    const [, width, height] = /<svg [^>]*width="(\d+)" height="(\d+)"/.exec(picture.svg) ?? [];
    const png = sharp(picture.png);
    expect(await png.metadata()).toMatchObject({
      format: 'png',
      width: 2 * Number(width),
      height: 2 * Number(height),
    });
    // The title alone is darker than any mark.
    const title = png.extract({ left: 120, top: 40, width: 300, height: 80 });
    const { channels } = await title.stats();
    expect(channels[0]?.min).toBeLessThan(60);
    expect(channels[0]?.max).toBe(255);
  });
});

describe('what drawComparison is given', () => {
  const heading = { title: 'Accuracy', lines: [] };

  it('may be all that results.json has', async () => {
    const more = { kind: 'k', format: 1, done: 1, planned: 1, tests: [], baselineTests: [] };
    const all = { ...more, methods, runs, scratchTests: [], settings: {}, amountsAt: undefined };
    expect((await drawComparison(all, heading)).svg).toContain('<svg');
  });

  const other = methods.map((method) => ({ ...method, macs: '8M' }));
  it.each<[string, unknown, unknown, RegExp]>([
    ['nothing', undefined, heading, /^drawComparison: got undefined in place of the options/],
    ['no runs', { methods }, heading, /^drawComparison: got options without `runs`/],
    [
      'an unknown entry',
      { methods, runs, rates: [] },
      heading,
      /the option `rates`, expected some/,
    ],
    [
      'a method alone',
      { methods: methods[0], runs },
      heading,
      /methods: got an object, expected an/,
    ],
    [
      'a method as text',
      { methods: ['dense'], runs },
      heading,
      /methods: got the string 'dense' in/,
    ],
    [
      'MACs as text',
      { methods: other, runs },
      heading,
      /methods: macs: got the string '8M', expecte/,
    ],
    [
      'a run without its seed',
      { methods, runs: methods },
      heading,
      /runs: got options without `seed`/,
    ],
    [
      'no heading',
      { methods, runs },
      undefined,
      /^drawComparison: heading: got undefined in place of/,
    ],
    [
      'text as a heading',
      { methods, runs },
      'A',
      /heading: got the string 'A' in place of the opti/,
    ],
    ['no lines', { methods, runs }, { title: 'A' }, /heading: got options without `lines`/],
  ])('is refused where it is %s', async (_, compared, above, message) => {
    const drawing = drawComparison(compared as PicturedComparison, above as PictureHeading);
    await expect(drawing).rejects.toThrow(message);
    await expect(drawing).rejects.toBeInstanceOf(UsageError);
  });
});
