// The pages in a real browser.
import { appendFileSync, cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { loadModel, predictImages } from 'mamba-prune';
import { readPruningRecord, sensitivityRun } from 'mamba-prune/workflows';
import type { Studio } from 'mamba-prune/internal';
import type { Browser, Page } from 'playwright-core';
import sharp from 'sharp';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { writeBoxedModels } from '../../mamba-prune/src/cli/testing/boxed-models.js';
import { drawComparison } from './comparison-picture.js';
import type { PicturedComparison } from './page-data/comparison.js';
import { startStudio } from './studio/start-studio.js';
import {
  type OpenedPage,
  noBrowser,
  openBrowser,
  openPage,
  patience,
  seriousBarriers,
} from './testing/browser.js';
import { type ReadPicture, readPicture } from './testing/read-picture.js';
import { writeSmallComparison } from './testing/small-comparison.js';
import { type SmallRuns, makeSmallRuns } from './testing/small-runs.js';
import { writeReport } from './write-report.js';

const browserSuite = describe.skipIf(noBrowser !== undefined);
const because = noBrowser === undefined ? '' : ` (skipped: ${noBrowser})`;

let small: SmallRuns;
let browser: Browser;
/** A report, for the tests that leave it as it was. */
let shared: OpenedPage;
beforeAll(async () => {
  if (noBrowser !== undefined) return;
  small = await makeSmallRuns();
  browser = await openBrowser();
});
afterEach(async () => {
  // A page that is left open goes on asking and drawing. Not there where only tests of the studio run.
  const kept = (shared as OpenedPage | undefined)?.page.context();
  const others = browser.contexts().filter((context) => context !== kept);
  for (const context of others) await context.close();
});
afterAll(async () => {
  if (noBrowser !== undefined) return;
  await browser.close();
  small.remove();
});

const percent = (value: number | null | undefined): string =>
  `${(100 * (value ?? NaN)).toFixed(2)}%`;

/** Waits until fonts are there and what depends on the width has been drawn. */
async function settled(page: Page): Promise<void> {
  await page.evaluate(`document.fonts.ready.then(() => new Promise((drawn) =>
    requestAnimationFrame(() => requestAnimationFrame(drawn))))`);
}

/** Chooses a test image, waits for both models' answers. */
async function tryOut(page: Page): Promise<string> {
  await page.locator('#try-out .samples button').first().click();
  await page.locator('#try-out .speedup').waitFor();
  return page.locator('#try-out .answers').innerText();
}

/** What `predict` says of an image, as the page words it. */
/** @param path - of the model */
async function likeliest(path: string, file: string): Promise<string> {
  const { model, info } = loadModel(path);
  const [prediction] = await predictImages(model, info, [file], { topK: 1 });
  model.dispose();
  const [top] = prediction?.top ?? [];
  return `${top?.name ?? ''}\n${(100 * (top?.probability ?? NaN)).toFixed(1)}%`;
}

browserSuite(`a report${because}`, () => {
  let url: string;
  /** The same with the models inside: six megabytes more, which every page that opens it reads. */
  let modelsUrl: string;
  beforeAll(async () => {
    const comparison = join(small.folder, 'comparison');
    writeSmallComparison(comparison);
    const write = async (name: string, images: number, withModels: boolean): Promise<string> => {
      const { path } = await writeReport({
        paths: [small.runs, comparison],
        out: join(small.folder, name),
        images,
        withModels,
        benchBatches: images > 0 ? [1] : undefined,
        device: 'cpu',
      });
      return pathToFileURL(path).href;
    };
    url = await write('report.html', 16, false);
    modelsUrl = await write('models.html', 0, true);
    shared = await openPage(browser, url);
  });

  it('opens from the disk, asks for nothing else and complains of nothing', async () => {
    const { page, errors, foreign } = shared;
    const titles = await page.locator('h2').allInnerTexts();
    expect(titles).toEqual([
      'Overview',
      'Methods over seeds',
      'Training',
      'Accuracy against cost',
      'Widths and units',
      'Importance',
      'Regularisation',
      'Images',
      'Try the models',
      'Repeat a run',
    ]);
    expect(errors).toEqual([]);
    expect(foreign).toEqual([]);
  });

  it('says of the histogram of norms that its scale is a root', async () => {
    const histogram = shared.page.locator('#regularizer figure', { hasText: 'Distribution' });
    expect(await histogram.first().innerText()).toContain('the square root of the number of units');
  });

  it('shows what the runs wrote: accuracies, widths, commands', async () => {
    const { page } = shared;
    const record = readPruningRecord(join(small.runs, 'oneshot'));
    const row = page.locator('table.runs tbody tr', { hasText: 'oneshot' });
    expect(await row.innerText()).toContain(percent(record?.accuracy.after));
    await row.getByRole('button').click();
    expect(await row.getByRole('button').getAttribute('aria-pressed')).toBe('true');
    const layers = page.locator('#layers');
    const width = record?.widthsAfter['blocks.0.ssm'] ?? NaN;
    expect(await layers.locator('figure').first().innerText()).toContain(String(width));
    const label = await layers.locator('canvas').first().getAttribute('aria-label');
    expect(label).toBe(`blocks.0.ssm: ${width} of ${record?.denseWidths['blocks.0.ssm'] ?? NaN}`);
    await layers.getByLabel('Before').check({ force: true });
    expect(await layers.locator('canvas').first().getAttribute('aria-label')).toMatch(/16 of 16$/);
    await page.locator('#repeat select').selectOption('dense');
    expect(await page.locator('#repeat pre').innerText()).toContain("--out 'it is here'");
  });

  it('draws curves with the same numbers as its tables', async () => {
    const { page } = shared;
    const figure = page.locator('#curves figure').first();
    expect(await figure.locator('svg').getAttribute('aria-label')).toMatch(/^Accuracy\. dense: /);
    await figure.getByText('As a table').click();
    const lines = readFileSync(join(small.runs, 'dense', 'metrics.jsonl'), 'utf8').split('\n');
    const { valAccuracy } = JSON.parse(lines[2] ?? '') as { valAccuracy: number };
    const row = figure.locator('tbody tr').nth(2);
    expect(await row.innerText()).toMatch(
      new RegExp(`^dense\\s+train\\s+3\\s.*${percent(valAccuracy)}$`),
    );
  });

  it('has a table below every picture, histograms too', async () => {
    const { page } = shared;
    const without = page.locator('figure.chart:has(.plot):not(:has(details.numbers))');
    expect(await without.count()).toBe(0);
    const run = 'rsst';
    await page.locator('#importance select').first().selectOption(run);
    const figure = page.locator('#importance figure').first();
    await figure.getByText('As a table').click();
    const cells = await figure.locator('tbody tr').allInnerTexts();
    const sum = (column: number): number =>
      cells.reduce((total, row) => total + Number(row.split('\t')[column]), 0);
    const record = readPruningRecord(join(small.runs, run));
    const widths = (all: Readonly<Record<string, number>> = {}): number =>
      Object.entries(all).reduce((total, [name, w]) => total + (/ssm/.test(name) ? w : 0), 0);
    expect(sum(1)).toBe(widths(record?.widthsAfter));
    expect(sum(1) + sum(2)).toBe(widths(record?.widthsBefore));
  });

  it('hides runs that are not wanted', async () => {
    const { page } = await openPage(browser, url);
    const names = page.locator('#curves > .legend li');
    expect(await names.allInnerTexts()).toEqual(['dense', 'oneshot', 'refill', 'rsst']);
    await page.locator('.filter').getByLabel('refill').uncheck();
    // The entry stays, so that it can be pressed again.
    const shown = page.locator('#curves > .legend button[aria-pressed="true"]');
    expect(await shown.allInnerTexts()).toEqual(['dense', 'oneshot', 'rsst']);
    await names.getByRole('button', { name: 'refill' }).press('Enter');
    expect(await shown.allInnerTexts()).toEqual(['dense', 'oneshot', 'refill', 'rsst']);
  });

  it('has confusion matrices and the images on which two models differ', async () => {
    const { page } = shared;
    const images = page.locator('#images');
    await images.locator('select').first().selectOption('oneshot');
    expect(await images.innerText()).toContain('16 of 16 test images of folder');
    const counted =
      /Both right (\d+), both wrong (\d+), only the dense one right (\d+), only the pruned one right (\d+)/
        .exec(await images.innerText())
        ?.slice(1)
        .map(Number);
    expect(counted?.reduce((sum, count) => sum + count)).toBe(16);
    const record = readPruningRecord(join(small.runs, 'oneshot'));
    const right = (counted?.[0] ?? NaN) + (counted?.[3] ?? NaN);
    expect(right / 16).toBe(record?.accuracy.after);
    const shown = await images.locator('.gallery li').count();
    // With two classes the models differ exactly where one of them alone is right.
    expect(shown).toBe((counted?.[2] ?? NaN) + (counted?.[3] ?? NaN));
  });

  it('compares the methods over seeds: table, picture, tests, command', async () => {
    const methods = shared.page.locator('#methods');
    const row = methods.locator('table').first().locator('tbody tr').nth(2);
    expect(await row.innerText()).toMatch(/^one-shot\s+70%\s+73\.00% ± 1\.00\s+3\s+−18\.00/);
    expect(await methods.locator('svg').getAttribute('aria-label')).toContain('RSST 70%: 82.00%');
    const verdicts = await methods.locator('table').last().locator('tbody tr').allInnerTexts();
    expect(verdicts.map((text) => text.split('\t').at(-1))).toEqual([
      'no difference shown',
      'RSST is better',
      'no difference shown',
      'RSST is better',
    ]);
    expect(await methods.locator('p.help').allInnerTexts()).toEqual(
      expect.arrayContaining([
        'Every method leaves these groups whole: blocks.0.ssm, blocks.0.mlp.',
        'Whatever the rate, every method removes 25% of these groups: blocks.1.ssm.',
        'At the cut the weights that read removed units make up for them.',
      ]),
    );
    expect(await methods.getByText('21 of 24 runs of the methods are done.').count()).toBe(1);
    expect(await methods.locator('pre').innerText()).toBe(
      "npx mamba-prune compare --quick --out 'a b'",
    );
    expect(await methods.getByText('in /work').count()).toBe(1);
  });

  it('draws a comparison as compare does', async () => {
    const path = join(small.folder, 'comparison', 'results.json');
    const results = JSON.parse(readFileSync(path, 'utf8')) as PicturedComparison;
    const heading = { title: 'title', lines: [] };
    const inFile = readPicture((await drawComparison(results, heading)).svg);
    const inPage = readPicture(
      await shared.page.evaluate<string>(
        `document.querySelector('#methods .plot > svg').outerHTML`,
      ),
    );
    const shown = ({ texts, ...values }: ReadPicture): unknown => ({
      ...values,
      texts: ['methods', 'names', 'costs', 'values'].map(texts),
    });
    expect(shown(inPage)).toEqual(shown(inFile));
    expect(inPage.seeds).toHaveLength(results.runs.length);
    expect([...inPage.seeds].sort()).toEqual(results.runs.map((run) => run.accuracy).sort());
  });

  it('runs the models that it holds', async () => {
    const { page, errors } = await openPage(browser, modelsUrl);
    const text = await tryOut(page);
    expect(text).toMatch(/left|right/);
    expect(text).toMatch(/parameters, .* MACs, [\d.]+ KiB/);
    expect(text).toMatch(/[\d.]+x (as fast|the speed)/);
    expect(errors).toEqual([]);
  });

  it.each([
    ['light', 'en-US'],
    ['dark', 'zh-CN'],
  ] as const)('has no barrier that axe-core finds: %s, %s', async (colorScheme, locale) => {
    const { page } = await openPage(browser, url, { colorScheme, locale });
    await page.evaluate(
      "for (const details of document.querySelectorAll('main details')) details.open = true",
    );
    expect(await seriousBarriers(page)).toEqual([]);
  });

  it('speaks Chinese, and remembers it', async () => {
    const { page } = await openPage(browser, url);
    await page.getByLabel('中文').check({ force: true });
    expect(await page.locator('h2').first().innerText()).toBe('概览');
    expect(await page.locator('html').getAttribute('lang')).toBe('zh-CN');
    await page.reload();
    expect(await page.locator('h2').first().innerText()).toBe('概览');
  });

  it('has Chinese punctuation between Chinese words', async () => {
    const { page } = await openPage(browser, modelsUrl, { locale: 'zh-CN' });
    await tryOut(page);
    const texts = await page.evaluate<string[]>(`[...document.querySelectorAll('main *')].flatMap(
      (element) => [element.getAttribute('aria-label'), element.childElementCount ? '' : element.textContent])`);
    const wrong = texts.filter((text) => /\p{Script=Han} ?[:;,.] /u.test(text));
    expect(wrong).toEqual([]);
    // Nor a space after the full stop.
    expect(texts.filter((text) => /[。；：，] /u.test(text))).toEqual([]);
  });

  it('prints whole: light, with its marks, all rows and nothing to press', async () => {
    const { page } = await openPage(browser, url, { viewport: { width: 720, height: 740 } });
    await settled(page);
    await page.evaluate("document.documentElement.dataset.theme = 'dark'");
    await page.emulateMedia({ media: 'print' });
    const seen = await page.evaluate<Record<string, unknown>>(`(() => {
      const styleOf = (selector) => getComputedStyle(document.querySelector(selector));
      const isShown = (element) => element.getClientRects().length > 0;
      const table = document.querySelector('.scroll.tall');
      return {
        scheme: styleOf('html').colorScheme,
        marks: styleOf('table.runs .dot').printColorAdjust,
        hidden: table.scrollHeight - table.clientHeight,
        toPress: [...document.querySelectorAll('select, input, .more button, .command button')].filter(isShown).length,
        wider: [...document.querySelectorAll('canvas, pre')].filter(
          (element) => isShown(element) && element.scrollWidth > element.parentElement.clientWidth).length,
        split: [...new Set([...document.querySelectorAll('.tile, figure.chart:not(:has(.units))')].map(
          (element) => getComputedStyle(element).breakInside))],
      };
    })()`);
    expect(seen).toEqual({
      scheme: 'light',
      marks: 'exact',
      hidden: 0,
      toPress: 0,
      wider: 0,
      split: ['avoid'],
    });
  });

  it('keeps the names of rows in sight, and the list of runs closed, on a phone', async () => {
    const { page } = await openPage(browser, url, { viewport: { width: 390, height: 740 } });
    await settled(page);
    const [before, after, cell] = await page.evaluate<[number, number, number]>(`(() => {
      const table = document.querySelector('.scroll.tall');
      const left = (selector) => table.querySelector(selector).getBoundingClientRect().left;
      const before = left('tbody th');
      table.scrollLeft = 100;
      return [before, left('tbody th'), left('tbody td')];
    })()`);
    expect(after).toBe(before);
    expect(cell).toBeLessThan(before + 200);
    expect(await page.locator('.filter fieldset').isVisible()).toBe(false);
  });

  it('writes numbers on coloured squares in black or white, which its theme chooses', async () => {
    const out = join(small.folder, 'sensitivity.json');
    await sensitivityRun(
      {
        model: join(small.runs, 'dense', 'model.safetensors'),
        dataset: 'folder',
        data: small.images,
        images: 8,
        rates: [0.5, 0.8],
      },
      { out },
    );
    const { path } = await writeReport({
      paths: [small.runs, out],
      out: join(small.folder, 'squares.html'),
      images: 16,
      device: 'cpu',
    });
    for (const colorScheme of ['light', 'dark'] as const) {
      const { page } = await openPage(browser, pathToFileURL(path).href, { colorScheme });
      await settled(page);
      const inks = await page.evaluate<string[][]>(`['#sensitivity', '#images'].map((section) =>
        [...new Set([...document.querySelectorAll(section + ' [aria-label="text"] text')].map(
          (text) => getComputedStyle(text).fill))])`);
      for (const found of inks) {
        expect(found.length).toBeGreaterThan(0);
        expect(['rgb(0, 0, 0)', 'rgb(255, 255, 255)']).toEqual(expect.arrayContaining(found));
      }
    }
  });

  it('shows a long command whole, with the button beside it', async () => {
    const { page } = await openPage(browser, url, { viewport: { width: 1280, height: 740 } });
    await settled(page);
    const [hidden, apart, free] = await page.evaluate<[number, number, number]>(`(() => {
      const code = document.querySelector('#methods code');
      const pre = code.parentElement;
      code.append(...Array.from({ length: 9 }, () => [...code.children].map((word) => word.cloneNode(true))).flat());
      const button = document.querySelector('#methods .command button');
      const section = document.querySelector('#methods').getBoundingClientRect();
      const [left, right] = [pre, button].map((element) => element.getBoundingClientRect());
      return [pre.scrollWidth - pre.clientWidth, right.left - left.right, section.right - right.right];
    })()`);
    expect(hidden).toBe(0);
    expect(apart).toBeGreaterThan(0);
    // The command has all the room that the button leaves.
    expect(apart).toBeLessThan(20);
    expect(free).toBe(0);
  });

  it('fits a phone: nothing is wider than the screen', async () => {
    const { page } = await openPage(browser, url, { viewport: { width: 360, height: 740 } });
    await settled(page);
    const width = await page.evaluate<number>('document.documentElement.scrollWidth');
    expect(width).toBe(360);
  });

  it('breaks the long name of a run, so that its numbers are in sight', async () => {
    const { page } = await openPage(browser, url, { viewport: { width: 390, height: 740 } });
    await settled(page);
    const [named, short] = await page.evaluate<[number, number]>(`(() => {
      const [first, second] = document.querySelectorAll('table.runs button.run');
      first.lastChild.textContent = 'a-name-without-an-end_'.repeat(6);
      return [first.getBoundingClientRect().width, second.getClientRects().length];
    })()`);
    expect(named).toBeLessThanOrEqual(0.6 * 390);
    expect(short).toBe(1);
  });

  it('breaks no line within a flag', async () => {
    const { page } = await openPage(browser, url, { viewport: { width: 390, height: 740 } });
    await settled(page);
    // As many widths as it takes to bring every place of the sentence to the end of a line.
    const torn = await page.evaluate<number[]>(`(() => {
      const flag = '--with-models';
      const sentence = document.querySelector('#try-out .help');
      const texts = document.createTreeWalker(sentence, NodeFilter.SHOW_TEXT);
      const range = document.createRange();
      const start = sentence.textContent.indexOf(flag);
      for (let at = 0; texts.nextNode(); at += texts.currentNode.length) {
        const inside = (index) => Math.min(Math.max(index - at, 0), texts.currentNode.length);
        if (at <= start) range.setStart(texts.currentNode, inside(start));
        if (at < start + flag.length) range.setEnd(texts.currentNode, inside(start + flag.length));
      }
      if (range.toString() !== flag) throw new Error('the sentence has no ' + flag);
      const isTorn = (width) => {
        sentence.style.width = width + 'px';
        return new Set([...range.getClientRects()].map(({ top }) => top)).size > 1;
      };
      return Array.from({ length: 240 }, (_, i) => 150 + i).filter(isTorn);
    })()`);
    expect(torn).toEqual([]);
  });

  it('fits a screen that was turned', async () => {
    const { page } = await openPage(browser, url, { viewport: { width: 1280, height: 740 } });
    await settled(page);
    await page.setViewportSize({ width: 360, height: 740 });
    // Charts are drawn anew when their places have got another width.
    const width = () => page.evaluate<number>('document.documentElement.scrollWidth');
    await expect.poll(width, { timeout: patience }).toBe(360);
  });

  it('can be used with the keyboard alone', async () => {
    const { page } = await openPage(browser, url);
    await page.keyboard.press('Tab');
    expect(await page.evaluate<string>('document.activeElement.textContent')).toBe(
      'Skip to the content',
    );
    await page.getByLabel('MACs', { exact: true }).focus();
    await page.keyboard.press('ArrowRight');
    expect(await page.locator('#tradeoff figcaption').innerText()).toBe('Accuracy / Parameters');
  });
});

browserSuite(`the studio${because}`, () => {
  let studio: Studio;
  let runs: string;
  beforeAll(async () => {
    runs = join(small.folder, 'studio');
    mkdirSync(runs);
    vi.stubEnv('MAMBA_PRUNE_MODELS', join(small.folder, 'no-models'));
    studio = await startStudio({ folder: runs, port: 0 });
    vi.unstubAllEnvs();
  });
  afterAll(() => studio.close());

  it('shows runs as they appear, train and end, without a reload', async () => {
    const { page, errors, foreign } = await openPage(browser, studio.url);
    await page.getByText('No runs yet').waitFor();
    await page.getByText('npm install @mamba-prune/models').waitFor();
    await page.getByLabel('中文').check({ force: true });
    await page.getByText('还没有运行').waitFor();
    await page.getByLabel('English').check({ force: true });
    const dense = join(runs, 'dense');
    mkdirSync(dense);
    const lines = readFileSync(join(small.runs, 'dense', 'metrics.jsonl'), 'utf8').split('\n');
    const holder = { pid: process.pid, host: hostname(), started: null, since: '' };
    writeFileSync(join(dense, 'run.lock'), JSON.stringify(holder));
    writeFileSync(join(dense, 'metrics.jsonl'), `${lines[0] ?? ''}\n`);
    cpSync(join(small.runs, 'dense', 'config.json'), join(dense, 'config.json'));
    const row = page.locator('table.runs tbody tr', { hasText: 'dense' });
    await row.getByText('running').waitFor();
    const label = () => page.locator('#curves svg').first().getAttribute('aria-label');
    await expect.poll(label, { timeout: patience }).toMatch(/\(Epoch 1\)$/);
    appendFileSync(join(dense, 'metrics.jsonl'), `${lines[1] ?? ''}\n${lines[2] ?? ''}\n`);
    await expect.poll(label, { timeout: patience }).toMatch(/\(Epoch 3\)$/);
    cpSync(join(small.runs, 'dense'), dense, { recursive: true });
    writeFileSync(join(dense, 'run.lock'), JSON.stringify({ ...holder, pid: 2 ** 30 }));
    await row.getByText('finished').waitFor();
    expect(errors).toEqual([]);
    expect(foreign).toEqual([]);
  });

  it('runs a single model, and says that the studio was ended', async () => {
    const own = join(small.folder, 'one-run');
    cpSync(join(small.runs, 'dense'), join(own, 'dense'), { recursive: true });
    const ended = await startStudio({ folder: own, port: 0 });
    const { page } = await openPage(browser, ended.url);
    await page.locator('#try-out .samples button').first().click();
    await page.locator('#try-out .pair:not(.busy)').waitFor();
    expect(await page.locator('#try-out .model-answer').count()).toBe(1);
    expect(await page.title()).toBe('dense · Studio · mamba-prune');
    expect(await page.locator('#try-out :is(.speedup, select)').count()).toBe(0);
    const dot = () =>
      page.evaluate<string>(
        "getComputedStyle(document.querySelector('.side .live'), '::before').content",
      );
    expect(await dot()).not.toBe('none');
    await ended.close();
    await page.getByText('The studio does not answer').waitFor();
    expect(await page.locator('.side .live').innerText()).toBe('not connected');
    expect(await dot()).toBe('none');
    expect(await page.locator('table.runs tbody tr').count()).toBe(1);
    expect(await seriousBarriers(page)).toEqual([]);
  });

  it('lets a model and what was pruned from it compete, on an image of the user too', async () => {
    cpSync(join(small.runs, 'dense'), join(runs, 'dense'), { recursive: true });
    cpSync(join(small.runs, 'oneshot'), join(runs, 'oneshot'), { recursive: true });
    const { page, errors } = await openPage(browser, studio.url);
    expect(await tryOut(page)).toMatch(/[\d.]+x (as fast|the speed)/);
    // Of another size than the models take.
    const pixels = Uint8Array.from({ length: 64 * 64 }, (_, i) => (i % 64 < 32 ? 40 : 220));
    const buffer = await sharp(pixels, { raw: { width: 64, height: 64, channels: 1 } })
      .png()
      .toBuffer();
    // The moment in which the new image is shown: the answers to the one before are not its own.
    await page.evaluate(`new MutationObserver(() => {
      if (!document.querySelector('#try-out .drop').textContent.includes('Drop an image')) return;
      window.busyAtOnce ??= document.querySelector('#try-out .pair.busy') !== null;
    }).observe(document.querySelector('#try-out'), { subtree: true, childList: true, characterData: true })`);
    await page
      .locator('#try-out input[type=file]')
      .setInputFiles({ name: 'right.png', mimeType: 'image/png', buffer });
    await page.getByText('Drop an image here').waitFor();
    expect(await page.evaluate<boolean>('window.busyAtOnce')).toBe(true);
    await page.locator('#try-out .pair:not(.busy)').waitFor();
    const tops = await page.locator('#try-out li.top').allInnerTexts();
    const file = join(small.folder, 'right.png');
    writeFileSync(file, buffer);
    expect(tops).toEqual(
      await Promise.all(
        ['dense', 'oneshot'].map((run) =>
          likeliest(join(small.runs, run, 'model.safetensors'), file),
        ),
      ),
    );
    await page
      .locator('#try-out input[type=file]')
      .setInputFiles({ name: 'no.png', mimeType: 'image/png', buffer: Buffer.from('no image') });
    await page.getByText('This file is no image that the browser can read').waitFor();
    await page.getByRole('button', { name: 'Classify test images' }).click();
    await page.getByText('16 of 16 test images of folder').waitFor();
    expect(await page.locator('#images figcaption').first().innerText()).toMatch(
      /^Confusion matrix: /,
    );
    expect(errors).toEqual([]);
    expect(await seriousBarriers(page)).toEqual([]);
  });

  it('computes the same on WebGPU, with other operators', async (test) => {
    cpSync(join(small.runs, 'dense'), join(runs, 'dense'), { recursive: true });
    cpSync(join(small.runs, 'oneshot'), join(runs, 'oneshot'), { recursive: true });
    const { page, errors } = await openPage(browser, studio.url);
    // As text: these are the browser's types.
    const hasAdapter = await page.evaluate<boolean>(
      'navigator.gpu ? navigator.gpu.requestAdapter().then(Boolean) : false',
    );
    test.skip(!hasAdapter, 'this browser has no WebGPU, not even a software adapter');
    await tryOut(page);
    const answers = () => page.locator('#try-out li').allInnerTexts();
    const onCpu = await answers();
    const asked: string[] = [];
    page.on('request', (request) => asked.push(request.url()));
    await page.getByLabel('WebGPU').check({ force: true });
    const exported = () => asked.filter((url) => url.includes('target=webgpu')).length;
    await expect.poll(exported, { timeout: patience }).toBe(2);
    await page.locator('#try-out .pair:not(.busy)').waitFor();
    // Percent with one decimal: the kernels add in another order.
    expect(await answers()).toEqual(onCpu);
    expect(errors).toEqual([]);
  });
});

browserSuite(`the studio without runs${because}`, () => {
  let studio: Studio;
  const names = ['folder/dense', 'folder/oneshot'];
  const boxed = ['elsewhere/dense', ...names];
  beforeAll(async () => {
    const box = join(small.folder, 'box');
    const models = boxed.map((name) => {
      const run = name.split('/')[1] ?? '';
      return {
        name,
        pruning: run === 'dense' ? null : { method: 'oneshot', rates: { ssm: 0.9, mlp: 0.9 } },
        ...loadModel(join(small.runs, run, 'model.safetensors')),
      };
    });
    writeBoxedModels(box, models);
    for (const { model } of models) model.dispose();
    vi.stubEnv('MAMBA_PRUNE_MODELS', box);
    const empty = join(small.folder, 'empty');
    mkdirSync(empty);
    studio = await startStudio({ folder: empty, port: 0 });
  });
  afterAll(async () => {
    vi.unstubAllEnvs();
    await studio.close();
  });

  it('lets trained models compete on a picture of the user', async () => {
    const { page, errors, foreign } = await openPage(browser, studio.url);
    await page.getByText('These are the trained models of @mamba-prune/models').waitFor();
    const rows = () => page.locator('table.runs tbody tr').allInnerTexts();
    // Their accuracies are of different images, which the table says.
    expect((await rows()).map((text) => text.trim().split(/\s+/).slice(0, 2))).toEqual(
      boxed.map((name) => [name, name.split('/')[0]]),
    );
    expect(await page.locator('#tradeoff').innerText()).toContain('the Pareto front of a data set');
    expect(await page.locator('nav li').allInnerTexts()).not.toContain('Images');
    // The dense model of a pruned one is not there: it is compared with what its card says.
    await page.getByRole('button', { name: 'folder/oneshot' }).first().click();
    const compared = await page.locator('p.compared').innerText();
    expect(compared).toContain('folder/oneshot against the model that it was pruned from');
    expect(compared).toContain('2 epochs');
    expect((await rows())[2]).toContain('90%');
    const pixels = Uint8Array.from({ length: 64 * 64 }, (_, i) => (i % 64 < 32 ? 40 : 220));
    const file = join(small.folder, 'for-boxed.png');
    await sharp(pixels, { raw: { width: 64, height: 64, channels: 1 } })
      .png()
      .toFile(file);
    // No data set lies here whose test images could be chosen.
    expect(await page.locator('#try-out .answers').innerText()).toBe(
      'Drop an image of your own, or choose its file.',
    );
    await page.locator('#try-out input[type=file]').setInputFiles(file);
    await page.locator('#try-out .pair:not(.busy)').waitFor();
    expect(await page.locator('#try-out li.top').allInnerTexts()).toEqual(
      await Promise.all(names.map((name) => likeliest(`models:${name}`, file))),
    );
    expect(errors).toEqual([]);
    expect(foreign).toEqual([]);
    expect(await seriousBarriers(page)).toEqual([]);
  });
});
