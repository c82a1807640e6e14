// The picture of a report in the README, from real runs:
//
//     node scripts/report-picture.mjs docs/images/report.png FOCUS RUN...
//     node scripts/report-picture.mjs docs/images/cifar10.png FOCUS --section curves RUN...
//
// FOCUS is the run on top, as the report names it; with a section, that one alone.
//
// Needs Chromium (scripts/setup --browser, or CHROMIUM).
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { writeReport } from '@mamba-prune/report';
import { refuseUnlessPicture, withPage, writePicture } from './picture-file.mjs';
import { readFlags } from './script-flags.mjs';

const { values, positionals } = readFlags(
  { section: { type: 'string' } },
  { least: 3, most: Infinity, what: 'the file to write, the run on top, and runs' },
);
const [out, focus, ...paths] = positionals;
refuseUnlessPicture(out);

const folder = mkdtempSync(join(tmpdir(), 'mp-picture-'));
try {
  const file = join(folder, 'report.html');
  await writeReport({ paths, out: file, images: 0 });
  const settings = {
    viewport: { width: 1320, height: 990 },
    deviceScaleFactor: 1.5,
    locale: 'en-US',
  };
  await withPage(settings, async (page) => {
    await page.goto(pathToFileURL(file).href);
    // Legends have buttons of the same names, which hide runs.
    const table = page.getByRole('region', { name: 'All runs' });
    await table.getByRole('button', { name: focus, exact: true }).click();
    await page.evaluate('document.activeElement.blur()');
    await page.waitForTimeout(500);
    const shown = values.section === undefined ? page : page.locator(`#${values.section}`);
    await writePicture(out, shown.screenshot());
  });
} finally {
  rmSync(folder, { recursive: true });
}
