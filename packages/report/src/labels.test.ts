// No two texts in a picture stand on each other, and none leaves its card: in a real browser.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { guessedWidth } from '../page/charts/guessed-width.js';
import type { ReportData } from './page-data/report.js';
import { reportHtml } from './report-html.js';
import { noBrowser, openBrowser, openPage, seriousBarriers } from './testing/browser.js';
import { manyRuns } from './testing/many-runs.js';

const because = noBrowser === undefined ? '' : ` (skipped: ${noBrowser})`;

let folder: string;
let browser: Browser;
beforeAll(async () => {
  if (noBrowser !== undefined) return;
  folder = mkdtempSync(join(tmpdir(), 'mp-labels-'));
  browser = await openBrowser();
});
afterEach(async () => {
  if (noBrowser !== undefined) return;
  for (const context of browser.contexts()) await context.close();
});
afterAll(async () => {
  if (noBrowser !== undefined) return;
  await browser.close();
  rmSync(folder, { recursive: true, force: true });
});

async function open(data: ReportData, width: number, options: object = {}): Promise<Page> {
  const path = join(folder, `report-${width}.html`);
  writeFileSync(path, reportHtml(data));
  const { page } = await openPage(browser, pathToFileURL(path).href, {
    viewport: { width, height: 900 },
    ...options,
  });
  await page.evaluate(`document.fonts.ready.then(() => new Promise((drawn) =>
    requestAnimationFrame(() => requestAnimationFrame(() => requestAnimationFrame(drawn)))))`);
  return page;
}

/**
 * What is wrong with the texts of all pictures. A pixel is allowed: boxes of texts have room above and below their letters.
 */
const problems = `(() => {
  const found = [];
  for (const svg of document.querySelectorAll('.plot > svg')) {
    const card = svg.closest('.chart').getBoundingClientRect();
    const figure = svg.closest('.chart').querySelector('figcaption')?.textContent ?? '';
    const texts = [...svg.querySelectorAll('text')]
      .map((text) => ({ name: text.textContent, box: text.getBoundingClientRect() }))
      .filter(({ box }) => box.width > 0);
    for (const [i, { name, box }] of texts.entries()) {
      if (box.left < card.left - 1 || box.right > card.right + 1 || box.top < card.top - 1) {
        found.push(figure + ': "' + name + '" leaves the card');
      }
      for (const other of texts.slice(i + 1)) {
        const across = Math.min(box.right, other.box.right) - Math.max(box.left, other.box.left);
        const down = Math.min(box.bottom, other.box.bottom) - Math.max(box.top, other.box.top);
        if (across > 1 && down > 1) found.push(figure + ': "' + name + '" on "' + other.name + '"');
      }
    }
  }
  const boxesOf = (marks) => [...document.querySelectorAll(marks)]
    .map((mark) => mark.getBoundingClientRect())
    .filter((box) => box.width > 0);
  const points = boxesOf('#tradeoff g[aria-label="dot"] path');
  for (const box of boxesOf('#tradeoff text.name')) {
    const isOn = points.some((point) =>
      Math.min(box.right, point.right) - Math.max(box.left, point.left) > 1 &&
      Math.min(box.bottom, point.bottom) - Math.max(box.top, point.top) > 1);
    if (isOn) found.push('a name stands on a point');
  }
  const wider = document.documentElement.scrollWidth - innerWidth;
  if (wider > 0) found.push('the page is ' + wider + ' px too wide');
  return found;
})()`;

/** Texts over lines from top to bottom that stand on a curve. Both are looked at as they are drawn. */
const flagsOnCurves = `(() => {
  const found = [];
  for (const flag of document.querySelectorAll('.flags text')) {
    const svg = flag.closest('svg');
    const box = flag.getBoundingClientRect();
    if (box.width === 0) continue;
    const curves = [...svg.querySelectorAll('g[aria-label="line"] path')];
    for (const curve of curves) {
      const matrix = curve.getScreenCTM();
      const length = curve.getTotalLength();
      for (let at = 0; at <= length; at += 0.5) {
        const { x, y } = curve.getPointAtLength(at).matrixTransform(matrix);
        if (x > box.left && x < box.right && y > box.top && y < box.bottom) {
          found.push(svg.closest('.chart').querySelector('figcaption').textContent + ': ' + flag.textContent);
          break;
        }
      }
    }
  }
  return found;
})()`;

const names = (page: Page): Promise<string[]> =>
  page.locator('#tradeoff .plot text.name:not(.unplaced) title').allTextContents();

describe.skipIf(noBrowser !== undefined)(`texts in pictures${because}`, () => {
  it.each([2, 20, 100].flatMap((runs) => [1280, 390].map((width) => [runs, width] as const)))(
    'keep clear of each other for %i runs, %i px wide',
    async (runs, width) => {
      const page = await open(manyRuns(runs), width);
      expect(await page.evaluate(problems)).toEqual([]);
      // Those in front are named, and few runs all are.
      const shown = await names(page);
      expect(shown.length).toBeGreaterThanOrEqual(runs === 2 ? 2 : width > 400 ? 8 : 3);
      await page.locator('#tradeoff').getByLabel('Parameters').check({ force: true });
      expect(await page.evaluate(problems)).toEqual([]);
    },
  );

  it.each(['light', 'dark'] as const)(
    'stand on no curve where they name cuts: %s',
    async (colorScheme) => {
      for (const width of [1280, 390]) {
        const page = await open(manyRuns(4), width, { colorScheme });
        expect(await page.locator('.flags text').allTextContents()).toContain('cut 1');
        expect(await page.evaluate(flagsOnCurves)).toEqual([]);
        expect(await page.evaluate(problems)).toEqual([]);
      }
    },
  );

  it('keep clear of each other where classes have long names', async () => {
    const classes = Array.from({ length: 20 }, (_, i) => `a very long name of class number ${i}`);
    const confusion = classes.flatMap((_, row) => classes.map((__, at) => (row === at ? 90 : 1)));
    const data = manyRuns(2);
    const run = data.runs[1]?.id ?? '';
    const evaluation = {
      dataset: 'imagenet',
      classes,
      images: 1234,
      available: 50_000,
      pairs: [],
      runs: [{ run, accuracy: 0.9, confusion }],
    };
    for (const width of [1280, 390]) {
      const page = await open({ ...data, evaluation }, width);
      expect(await page.evaluate(problems)).toEqual([]);
    }
  });
});

describe.skipIf(noBrowser !== undefined)(`a confusion matrix of 100 classes${because}`, () => {
  it('names none beside it, and says how to learn the names', async () => {
    const classes = Array.from({ length: 100 }, (_, i) => `class-${i}`);
    const confusion = classes.flatMap((_, row) => classes.map((__, at) => (row === at ? 9 : 0)));
    const data = manyRuns(2);
    const run = data.runs[1]?.id ?? '';
    const evaluation = {
      dataset: 'cifar100',
      classes,
      images: 900,
      available: 10_000,
      pairs: [],
      runs: [{ run, accuracy: 1, confusion }],
    };
    const page = await open({ ...data, evaluation }, 1280);
    const figure = page.locator('#images figure').first();
    expect(await figure.locator('.plot > svg g[aria-label="cell"] rect').count()).toBe(10_000);
    expect(await figure.locator('.plot > svg text').allTextContents()).toEqual([]);
    expect(await figure.locator('.help').innerText()).toContain('Point at a square');
  });
});

describe.skipIf(noBrowser !== undefined)(`the table of the runs${because}`, () => {
  it('has room at 1280 px with latencies and two kinds, each on a line', async () => {
    const data = manyRuns(2);
    const runs = data.runs.map((run) => ({
      ...run,
      id: run.method === 'train' ? 'vmamba' : 'vmamba-oneshot',
      ...(run.pruning && {
        pruning: {
          ...run.pruning,
          rates: { ssm: 0.7, mlp: 0.7 },
          reached: { ssm: 0.661, mlp: 0.692 },
        },
      }),
    }));
    const times = { batch: 1, medianMs: 35.7, p10Ms: 35, p90Ms: 36 };
    const results = runs.map(({ id }) => ({ run: id, ...times }));
    const latency = { device: 'cpu', machine: 'one', threads: 2, results };
    const page = await open({ ...data, runs, latency }, 1280);
    const table = page.locator('#overview .scroll');
    expect(await table.innerText()).toContain('35.7 ms');
    expect(await table.innerText()).toContain('ssm 66.1%, ');
    const wider = await page.evaluate(`(() => {
      const box = document.querySelector('#overview .scroll');
      return box.scrollWidth - box.clientWidth;
    })()`);
    expect(wider).toBe(0);
  });
});

describe.skipIf(noBrowser !== undefined)(`the width of a text${because}`, () => {
  it.each([400, 600])(
    'is guessed too large rather than too small, in weight %i',
    async (weight) => {
      const page = await open(manyRuns(2), 1280);
      const texts = [
        'Accuracy against cost: mamba_nano on fashion-mnist',
        'Mean of 6 seeds (small dots) with one standard deviation. Methods of one size stand side by side.',
        'WILLIAM',
        'mmm',
        '70% removed',
        '−90%',
        '7.95 M',
        '88.88',
        'iljt',
        'Refill',
        '↑ →',
        '…',
      ];
      const measured = await page.evaluate<number[]>(`(${JSON.stringify(texts)}).map((text) => {
      const line = document.createElement('span');
      line.style.cssText = 'font: ${weight} 100px "Inter Variable"; position: absolute; white-space: pre; font-variant: tabular-nums';
      line.textContent = text;
      document.body.append(line);
      return line.getBoundingClientRect().width;
    })`);
      texts.forEach((text, i) => {
        expect({ text, fits: guessedWidth(text, 100) >= (measured[i] ?? Infinity) }).toEqual({
          text,
          fits: true,
        });
      });
    },
  );
});

describe.skipIf(noBrowser !== undefined)(`many runs${because}`, () => {
  it('are found with the filter, in the table and in the pictures', async () => {
    const page = await open(manyRuns(100), 1280);
    const rows = page.locator('table.runs tbody tr');
    expect(await rows.count()).toBe(100);
    await page.getByRole('searchbox').fill('refill SEED-7');
    expect(await rows.allInnerTexts()).toEqual([expect.stringContaining('refill')]);
    expect(await page.locator('#tradeoff g[aria-label="dot"] path').count()).toBe(1);
    expect(await page.locator('.filter [role=status]').innerText()).toBe('1 of 100 runs');
    await page.getByRole('searchbox').fill('nothing has this name');
    expect(await page.locator('#overview').innerText()).toContain('No run matches the filter.');
    await page.getByRole('searchbox').fill('');
    expect(await rows.count()).toBe(100);
  });

  it('are put in the order of a column, which readers are told', async () => {
    const page = await open(manyRuns(20), 1280);
    const head = page.locator('table.runs th', { hasText: 'Accuracy' });
    const column = () => page.locator('table.runs tbody td:nth-child(4)').allInnerTexts();
    expect(await head.getAttribute('aria-sort')).toBe('none');
    await head.getByRole('button').press('Enter');
    expect(await head.getAttribute('aria-sort')).toBe('descending');
    const best = await column();
    expect(best).toEqual([...best].sort().reverse());
    await head.getByRole('button').press('Enter');
    expect(await head.getAttribute('aria-sort')).toBe('ascending');
    expect(await column()).toEqual([...best].sort());
    expect(await page.locator('table.runs th[aria-sort="none"]').count()).toBeGreaterThan(5);
  });

  it('stand out one by one, for the pointer and the keyboard', async () => {
    const page = await open(manyRuns(100), 1280);
    const dots = page.locator('#tradeoff g[aria-label="dot"] path');
    const faded = page.locator('#tradeoff g[aria-label="dot"] path.faded');
    expect(await dots.count()).toBe(100);
    expect(await faded.count()).toBe(0);
    await page.locator('table.runs tbody tr').nth(5).hover();
    expect(await faded.count()).toBe(99);
    await page.mouse.move(0, 0);
    expect(await faded.count()).toBe(0);
    // Its name is shown, even where there was no room for it.
    await page.locator('table.runs tbody button.run').nth(63).focus();
    expect(await faded.count()).toBe(99);
    const id = await page.locator('table.runs tbody tr').nth(63).getAttribute('data-run');
    const name = page.locator('#tradeoff text.name.pointed');
    expect(await name.locator('title').textContent()).toBe(id);
    expect(await name.isVisible()).toBe(true);
    await page.locator('#tradeoff .legend button').first().focus();
    expect(await faded.count()).toBe(75);
  });

  it('are hidden and shown by the legend, a method at once', async () => {
    const page = await open(manyRuns(100), 1280);
    const dots = page.locator('#tradeoff g[aria-label="dot"] path');
    const refill = page.locator('#tradeoff .legend').getByRole('button', { name: /Refill/ });
    expect(await refill.getAttribute('aria-pressed')).toBe('true');
    await refill.press('Enter');
    expect(await refill.getAttribute('aria-pressed')).toBe('false');
    expect(await dots.count()).toBe(75);
    await refill.press('Enter');
    expect(await dots.count()).toBe(100);
  });

  it.each(['light', 'dark'] as const)('have no serious barriers, %s', async (colorScheme) => {
    const page = await open(manyRuns(20), 1280, { colorScheme });
    expect(await seriousBarriers(page)).toEqual([]);
  });

  it('that were not trained alike are not said to be better', async () => {
    const page = await open(manyRuns(2), 1280);
    const overview = page.locator('#overview');
    const [dense, pruned] = manyRuns(2).runs.map(({ id }) => id);
    expect(await overview.locator('.compared').innerText()).toBe(
      `${pruned} against ${dense}. This is no comparison at equal training: ${pruned} was trained for 12 epochs more. ` +
        'The numbers are those of the model before that. mamba-prune compare trains the dense model as long and alike.',
    );
    expect(await overview.locator('.tile .gain').first().getAttribute('class')).toBe('gain loss');
    const many = await open(manyRuns(8), 1280);
    expect(await many.locator('.compared').innerText()).toContain(
      'Both were trained for 12 epochs more after',
    );
  });
});
