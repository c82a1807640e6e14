// For tests: a real browser, and what is asked of every page in it.
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { type Browser, type BrowserContextOptions, type Page, chromium } from 'playwright-core';
import { buildPage } from './build-page.js';

const places = [
  process.env['CHROMIUM'],
  ...['chromium', 'chromium-browser', 'google-chrome'].map((name) => `/usr/bin/${name}`),
];
const executablePath = places.find((path) => path !== undefined && existsSync(path));

/** Why there is no browser; undefined if there is one. */
export const noBrowser =
  executablePath === undefined
    ? 'no Chromium here: run scripts/setup --browser, or set CHROMIUM to its path'
    : undefined;

/**
 * How long a page is given for what it does, in ms. A net: a machine that is busy with other things is slow, and
 * Playwright's own 30 s are few.
 */
export const patience = 240_000;

export async function openBrowser(): Promise<Browser> {
  buildPage();
  return chromium.launch({
    ...(executablePath !== undefined && { executablePath }),
    timeout: patience,
    args: [
      // As root, which CI often is, the sandbox does not start.
      ...(process.getuid?.() === 0 ? ['--no-sandbox'] : []),
      // WebGPU computed on the CPU, where there is no GPU.
      '--enable-unsafe-webgpu',
      '--use-webgpu-adapter=swiftshader',
    ],
  });
}

export interface OpenedPage {
  readonly page: Page;
  /** What the page complained of. */
  readonly errors: string[];
  /** Addresses asked for that are neither in the page nor of its own server. */
  readonly foreign: string[];
}

export async function openPage(
  browser: Browser,
  url: string,
  options: BrowserContextOptions = {},
): Promise<OpenedPage> {
  const context = await browser.newContext({
    locale: 'en-US',
    reducedMotion: 'reduce',
    ...options,
  });
  context.setDefaultTimeout(patience);
  const page = await context.newPage();
  const errors: string[] = [];
  const foreign: string[] = [];
  const { origin, protocol } = new URL(url);
  page.on('pageerror', ({ message }) => errors.push(message));
  page.on('console', (message) => {
    if (message.type() === 'error') errors.push(message.text());
  });
  page.on('request', (request) => {
    const asked = new URL(request.url());
    const isOwn = protocol === 'file:' ? request.url() === url : asked.origin === origin;
    if (!isOwn && !['data:', 'blob:'].includes(asked.protocol)) foreign.push(request.url());
  });
  await page.goto(url);
  return { page, errors, foreign };
}

interface AxeResult {
  readonly violations: readonly {
    readonly id: string;
    readonly impact: string;
    readonly nodes: readonly { readonly html: string }[];
  }[];
}

/** What axe-core finds that is serious or critical: rules, each with the first element at fault. */
export async function seriousBarriers(page: Page): Promise<string[]> {
  const source = readFileSync(
    createRequire(import.meta.url).resolve('axe-core/axe.min.js'),
    'utf8',
  );
  await page.evaluate(source);
  const { violations } = await page.evaluate<AxeResult>('axe.run()');
  return violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .map(({ id, nodes }) => `${id} (${nodes.length}): ${nodes[0]?.html.slice(0, 200) ?? ''}`);
}
