// The picture of a report in the README, from real runs:
//
//     node scripts/report-picture.mjs docs/images/report.png FOCUS RUN...
//     node scripts/report-picture.mjs docs/images/cifar10.png FOCUS --section curves RUN...
//
// FOCUS is the run on top, as the report names it; with a section, that one alone.
//
// Needs Chromium (scripts/setup --browser, or CHROMIUM).
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { writeReport } from '@mamba-prune/report';
import { chromium } from 'playwright-core';
import sharp from 'sharp';
import { readFlags, refuse } from './script-flags.mjs';

const { values, positionals } = readFlags(
  { section: { type: 'string' } },
  { least: 3, most: Infinity, what: 'the file to write, the run on top, and runs' },
);
const [out, focus, ...paths] = positionals;
if (existsSync(out) && !isPng(out)) {
  refuse(
    `${out} exists and is no PNG, expected a new file or an earlier picture. Give another name.`,
  );
}

function isPng(path) {
  const signature = Buffer.from('\x89PNG\r\n\x1a\n', 'latin1');
  return statSync(path).isFile() && readFileSync(path).subarray(0, 8).equals(signature);
}

const folder = mkdtempSync(join(tmpdir(), 'mp-picture-'));
try {
  const file = join(folder, 'report.html');
  await writeReport({
    ...{ paths, out: file, images: 0, withModels: false, device: 'cpu' },
  });
  const browser = await chromium.launch({
    executablePath: process.env['CHROMIUM'] ?? '/usr/bin/chromium',
    args: process.getuid?.() === 0 ? ['--no-sandbox'] : [],
  });
  const page = await browser.newPage({
    viewport: { width: 1320, height: 990 },
    deviceScaleFactor: 1.5,
    locale: 'en-US',
  });
  await page.goto(pathToFileURL(file).href);
  // Legends have buttons of the same names, which hide runs.
  const table = page.getByRole('region', { name: 'All runs' });
  await table.getByRole('button', { name: focus, exact: true }).click();
  await page.evaluate('document.activeElement.blur()');
  await page.waitForTimeout(500);
  const shown = values.section === undefined ? page : page.locator(`#${values.section}`);
  await sharp(await shown.screenshot())
    .png({ palette: true, compressionLevel: 9 })
    .toFile(out);
  await browser.close();
} finally {
  rmSync(folder, { recursive: true });
}
