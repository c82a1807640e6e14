// The picture of a comparison as files, for `mamba-prune compare`: the page's own drawing, made without a browser.
import { writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { defaultCacheDir } from 'mamba-prune/data';
import { type ComparisonPicture, makeFolder } from 'mamba-prune/internal';
import type { PictureHeading, PicturedComparison } from './page-data/comparison.js';
import { checkPicture } from './page-checks.js';
import { assetPath } from './report-html.js';

/** What `scripts/build-page.mjs` makes of `page/comparison/file.ts`. */
interface Drawing {
  readonly comparisonSvg: (compared: PicturedComparison, heading: PictureHeading) => string;
}

/**
 * Draws accuracy against MACs: seeds, means and standard deviations of every method at every rate.
 * @param compared - what results.json of a comparison holds; accuracies are shares of 1, MACs of one image
 * @throws UsageError for entries that are unknown, missing or of another kind; Error if the package was not built
 */
export async function drawComparison(
  compared: PicturedComparison,
  heading: PictureHeading,
): Promise<ComparisonPicture> {
  checkPicture('drawComparison', compared, heading);
  const { href } = pathToFileURL(assetPath('comparison-file.js'));
  const { comparisonSvg } = (await import(href)) as Drawing;
  const svg = comparisonSvg(compared, heading);
  provideFont();
  const { default: sharp } = await import('sharp');
  // At a density of 72 one unit of the SVG is one pixel.
  const png = await sharp(Buffer.from(svg), { density: 144 }).png().toBuffer();
  return { svg, png };
}

/**
 * Lets sharp find Inter: bare machines have no font at all, and would draw boxes in place of letters. sharp asks fontconfig, which
 * reads this variable once, when it first draws text, and knows no fonts in the formats of pages.
 */
function provideFont(): void {
  if ((process.env['FONTCONFIG_FILE'] ?? '') !== '') return;
  const fonts = dirname(assetPath('fonts/Inter_400Regular.ttf'));
  const folder = join(defaultCacheDir(), 'fonts');
  const file = join(folder, 'fonts.conf');
  const lines = [
    '<?xml version="1.0"?>',
    '<!DOCTYPE fontconfig SYSTEM "fonts.dtd">',
    '<fontconfig>',
    '<include ignore_missing="yes">/etc/fonts/fonts.conf</include>',
    `<dir>${fonts}</dir>`,
    `<cachedir>${folder}</cachedir>`,
    '</fontconfig>',
  ];
  try {
    makeFolder(folder);
    writeFileSync(file, `${lines.join('\n')}\n`);
  } catch {
    return; // The system's fonts will do.
  }
  process.env['FONTCONFIG_FILE'] = file;
}
