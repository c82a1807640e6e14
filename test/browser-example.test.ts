// The example of a web page, built by its own command and served as a web server would, in a real browser.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { manualSeed, noGrad, randn } from '@mamba-prune/libtorch';
import {
  type ImageModel,
  type Prediction,
  createModel,
  exportOnnx,
  predictImages,
  pruneOneShot,
} from 'mamba-prune';
import type { Browser, Page } from 'playwright-core';
import sharp from 'sharp';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import {
  type OpenedPage,
  noBrowser,
  openBrowser,
  openPage,
  patience,
  seriousBarriers,
} from '../packages/report/src/testing/browser.js';
import { type ExampleSite, startExampleSite } from './support/example-site.js';

const because = noBrowser === undefined ? '' : ` (skipped: ${noBrowser})`;

const folder = mkdtempSync(join(tmpdir(), 'browser-example-'));
const publicFolder = join(folder, 'public');
const modelFile = join(publicFolder, 'model.onnx');
const labels = ['ant', 'bee', 'cat', 'dog', 'eel', 'fox', 'gnu'];
/** Not the defaults, so that a page that does not read the record is found out. */
const preprocessing = { interpolation: 'bicubic', cropShare: 0.9 } as const;
const info = {
  ...{ dataset: 'folder', classes: labels, preprocessing, history: [] },
  ...{ mean: [0.48, 0.45, 0.4], std: [0.23, 0.22, 0.21] },
};

let pruned: ImageModel;
/** What `predict` says of each picture. */
let expected: Prediction[];
let pictures: string[];
let browser: Browser;
let site: ExampleSite;

beforeAll(async () => {
  if (noBrowser !== undefined) return;
  mkdirSync(publicFolder);
  pictures = await writePictures();
  expected = await writeModel();
  site = await startExampleSite(publicFolder);
  browser = await openBrowser();
});
afterEach(async () => {
  if (noBrowser !== undefined) return;
  site.isStrict = false;
  site.missing = undefined;
  for (const context of browser.contexts()) await context.close();
});
afterAll(async () => {
  if (noBrowser === undefined) {
    await browser.close();
    site.close();
  }
  rmSync(folder, { recursive: true });
});

/** Of other sizes than the model's: wide, high, and too large for the page to decode in one go. Any browser decodes PNG the same. */
async function writePictures(): Promise<string[]> {
  const sizes = [
    [90, 61],
    [40, 77],
    [2500, 1800],
  ] as const;
  const paths = sizes.map(([width, height]) => join(folder, `${width}x${height}.png`));
  for (const [i, [width, height]] of sizes.entries()) {
    const pixels = new Uint8Array(3 * width * height);
    for (let at = 0; at < pixels.length; at++) {
      const [x, y] = [((at / 3) | 0) % width, (at / 3 / width) | 0];
      pixels[at] =
        (((at % 5077) ** 2 * 31) % 97) + (100 * y) / height + (58 * (x % (width / 3))) / width;
    }
    const image = sharp(pixels, { raw: { width, height, channels: 3 } });
    await image.png({ compressionLevel: 1 }).toFile(paths[i] ?? '');
  }
  return paths;
}

/** A pruned model with random weights, exported to where the page looks for it. @returns what `predict` says */
async function writeModel(): Promise<Prediction[]> {
  manualSeed(3);
  const dense = createModel('mamba_nano', {
    ...{ numClasses: labels.length, imageSize: 16, channels: 3 },
    ...{ dModel: 16, depth: 2, dState: 4 },
  });
  noGrad(() => {
    for (const tensor of dense.parameters()) tensor.add_(randn(tensor.shape).mul(0.2));
  });
  ({ model: pruned } = await pruneOneShot(dense, {
    ...{ rates: { ssm: 0.5 }, importance: 'l2', ranking: 'global' },
  }));
  pruned.eval();
  await exportOnnx(modelFile, pruned, info, { verify: false });
  return predictImages(pruned, info, pictures, { topK: 5 });
}

const open = (options = {}): Promise<OpenedPage> => openPage(browser, site.url, options);

const status = (page: Page, text: string | RegExp) => page.locator('#status', { hasText: text });
const isReady = 'The model is ready on';
const isAnswered = 'The model took';

async function choose(page: Page, path: string): Promise<void> {
  await page.locator('#file').setInputFiles(path);
  await status(page, isAnswered).waitFor();
}

/** As one who drags files from another window, one right after the other, and lets them go beside the frame. */
async function drop(page: Page, ...paths: string[]): Promise<void> {
  const bytes = paths.map((path) => readFileSync(path).toString('base64'));
  // As text: these are the browser's types.
  const isTaken = await page.evaluate<boolean>(`(async () => {
    const files = await Promise.all(${JSON.stringify(bytes)}.map(async (base64) => {
      const blob = await (await fetch('data:image/png;base64,' + base64)).blob();
      return new File([blob], 'dropped.png', { type: 'image/png' });
    }));
    return files.every((file) => {
      const dataTransfer = new DataTransfer();
      dataTransfer.items.add(file);
      const event = new DragEvent('drop', { dataTransfer, bubbles: true, cancelable: true });
      return !document.querySelector('h1').dispatchEvent(event);
    });
  })()`);
  // Else a browser leaves the page and shows the picture.
  expect(isTaken).toBe(true);
  await status(page, isAnswered).waitFor();
}

/** The five classes that the page shows, against those of `predict`. */
async function expectAnswer(page: Page, prediction: Prediction | undefined): Promise<void> {
  const top = prediction?.top ?? [];
  const rows = await page.locator('#classes li').allInnerTexts();
  const values = await page.locator('#classes data').all();
  const shown = await Promise.all(
    values.map(async (value) => Number(await value.getAttribute('value'))),
  );
  // In percent with one decimal.
  expect(rows.map((text) => text.replace(/\s+/, ' '))).toEqual(
    top.map(({ name }, i) => `${name} ${(100 * (shown[i] ?? NaN)).toFixed(1)}%`),
  );
  const differences = top.map(({ probability }, i) => Math.abs(probability - (shown[i] ?? NaN)));
  // Two correct programs round float32 sums differently, by some 1e-6 of the largest.
  expect(Math.max(...differences), JSON.stringify(shown)).toBeLessThan(2e-5);
}

/** What the page says went wrong. */
const failure = (page: Page): Promise<string> => page.locator('#status.error').innerText();

/** Lets a test have other files at the place of the model, or none. */
async function withModel(bytes: Uint8Array | undefined, body: () => Promise<void>): Promise<void> {
  const kept = readFileSync(modelFile);
  rmSync(modelFile);
  if (bytes) writeFileSync(modelFile, bytes);
  try {
    await body();
  } finally {
    writeFileSync(modelFile, kept);
  }
}

describe.skipIf(noBrowser !== undefined)(`the example of a web page${because}`, () => {
  it('classifies a picture as predict does, whether it is chosen or dropped', async () => {
    // Else the comparison would be of nothing.
    expect(expected[0]?.top[0]?.probability).toBeGreaterThan(0.25);
    const likeliest = expected.map(({ top }) => top[0]?.probability ?? NaN);
    expect(new Set(likeliest.map((value) => value.toFixed(3))).size).toBe(3);
    const { page, errors, foreign } = await open();
    await status(page, isReady).waitFor();
    await choose(page, pictures[0] ?? '');
    await expectAnswer(page, expected[0]);
    expect(await page.locator('#status').innerText()).toMatch(
      /^The model took \d+\.\d ms on WebAssembly with 1 thread\. Decoding and preparing took \d+\.\d ms\.$/,
    );
    const width = () => page.evaluate<number>("document.querySelector('#preview').naturalWidth");
    await expect.poll(width, { timeout: patience }).toBe(90);
    await drop(page, pictures[1] ?? '');
    await expectAnswer(page, expected[1]);
    await choose(page, pictures[2] ?? '');
    await expectAnswer(page, expected[2]);
    expect(errors).toEqual([]);
    expect(foreign).toEqual([]);
  });

  it('shows the answer to the last of several pictures, and to no other', async () => {
    const { page } = await open();
    await page.evaluate(`window.seen = []; new MutationObserver(() => {
      for (const { value } of document.querySelectorAll('#classes li:first-child data')) seen.push(value);
    }).observe(document.querySelector('#classes'), { childList: true })`);
    await drop(page, pictures[1] ?? '', pictures[0] ?? '');
    await expectAnswer(page, expected[0]);
    expect(await page.evaluate<string[]>('seen')).toHaveLength(1);
  });

  it('has several threads where the server isolates it, under a strict policy', async () => {
    site.isStrict = true;
    const { page, errors } = await open();
    const processors = await page.evaluate<number>('navigator.hardwareConcurrency');
    const threads = Math.min(4, processors);
    await status(page, `on WebAssembly with ${threads} thread${threads > 1 ? 's' : ''}.`).waitFor();
    await choose(page, pictures[0] ?? '');
    await expectAnswer(page, expected[0]);
    expect(errors).toEqual([]);
  });

  it('computes the same on WebGPU, and on the processor with the file for WebGPU', async (test) => {
    const path = join(folder, 'webgpu.onnx');
    await exportOnnx(path, pruned, info, { verify: false, scanOp: 'linear-attention' });
    await withModel(readFileSync(path), async () => {
      const { page, errors } = await open();
      const hasAdapter = await page.evaluate<boolean>(
        'navigator.gpu ? navigator.gpu.requestAdapter().then(Boolean) : false',
      );
      test.skip(!hasAdapter, 'this browser has no WebGPU, not even a software adapter');
      await choose(page, pictures[0] ?? '');
      await expectAnswer(page, expected[0]);
      await page.getByLabel('GPU (WebGPU)').check();
      await status(page, /The model took .* on WebGPU\./).waitFor();
      await expectAnswer(page, expected[0]);
      await page.getByLabel('CPU (WebAssembly)').check();
      await status(page, /The model took .* on WebAssembly/).waitFor();
      await expectAnswer(page, expected[0]);
      expect(errors).toEqual([]);
    });
  });

  it('leaves the choice of WebGPU out where the browser has none', async () => {
    const { page } = await open();
    await page.addInitScript(
      "Object.defineProperty(Navigator.prototype, 'gpu', { value: undefined })",
    );
    await page.reload();
    await status(page, isReady).waitFor();
    expect(await page.getByLabel('GPU (WebGPU)').isDisabled()).toBe(true);
    await page.getByText('GPU (WebGPU), which this browser does not have').waitFor();
  });

  it('says in a sentence that there is no model, and how to write one', async () => {
    await withModel(undefined, async () => {
      const { page } = await open();
      expect(await failure(page)).toMatch(
        /^There is no model at http:\S+\/model\.onnx \(status 404\)\. Write one with: npm run model -- RUN, or models:NAME of a trained one /,
      );
    });
  });

  it.each([
    ['a page', () => Buffer.from('<!doctype html><title>404</title>')],
    ['nothing', () => Buffer.alloc(0)],
    ['a file that was cut off', () => readFileSync(modelFile).subarray(0, 5000)],
  ])('refuses %s in place of the model', async (_name, bytes) => {
    await withModel(bytes(), async () => {
      const { page } = await open();
      expect(await failure(page)).toMatch(
        /model\.onnx is no file of mamba-prune export --format onnx\.$/,
      );
    });
  });

  it('refuses a model that takes floats', async () => {
    const path = join(folder, 'floats.onnx');
    await exportOnnx(path, pruned, info, { verify: false, input: 'float32' });
    await withModel(readFileSync(path), async () => {
      const { page } = await open();
      expect(await failure(page)).toMatch(
        /takes no images of uint8\. Export it with --input uint8/,
      );
    });
  });

  it('names a file that is no picture, and classifies the next one', async () => {
    const { page } = await open();
    await choose(page, pictures[0] ?? '');
    const buffer = Buffer.from('no picture');
    await page.locator('#file').setInputFiles({ name: 'notes.png', mimeType: 'image/png', buffer });
    expect(await failure(page)).toBe(
      'notes.png is no picture that this browser reads. Try a JPEG, PNG or WebP.',
    );
    expect(await page.locator('#classes li').count()).toBe(0);
    expect(await page.locator('#preview').isVisible()).toBe(false);
    await choose(page, pictures[1] ?? '');
    await expectAnswer(page, expected[1]);
  });

  it('says what is missing where the runtime cannot be had', async () => {
    site.missing = '.wasm';
    const { page } = await open();
    expect(await failure(page)).toMatch(
      /^onnxruntime-web did not start on wasm \(.+\)\. It needs the \.wasm files of dist\/ on the server, and a browser with WebAssembly\.$/s,
    );
  });

  it('says how the page is built where a script of it is missing', async () => {
    site.missing = 'worker.js';
    const { page } = await open();
    expect(await failure(page)).toBe(
      'dist/worker.js did not start. Build the page with: npm run build',
    );
    site.missing = 'main.js';
    await page.reload();
    await status(page, 'The page waits for its script (npm run build).').waitFor();
  });

  it.each(['light', 'dark'] as const)(
    'has no barrier that axe-core finds: %s',
    async (colorScheme) => {
      const { page } = await open({ colorScheme });
      await status(page, isReady).waitFor();
      expect(await seriousBarriers(page)).toEqual([]);
      await choose(page, pictures[0] ?? '');
      expect(await seriousBarriers(page)).toEqual([]);
      await page.locator('#file').setInputFiles({ name: 'x', mimeType: '', buffer: Buffer.of(1) });
      await page.locator('#status.error').waitFor();
      expect(await seriousBarriers(page)).toEqual([]);
    },
  );

  it('fits a phone: nothing is wider than the screen', async () => {
    const { page } = await open({ viewport: { width: 320, height: 640 } });
    await choose(page, pictures[0] ?? '');
    expect(await page.evaluate<number>('document.documentElement.scrollWidth')).toBe(320);
  });

  it('can be used with the keyboard alone', async () => {
    const { page } = await open();
    await status(page, isReady).waitFor();
    await page.keyboard.press('Tab');
    const chooser = page.waitForEvent('filechooser');
    await page.keyboard.press('Space');
    await (await chooser).setFiles(pictures[0] ?? '');
    await status(page, isAnswered).waitFor();
    await expectAnswer(page, expected[0]);
  });
});
