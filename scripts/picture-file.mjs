// What the scripts that take a picture in a browser share: the file that they write, and the browser.
import { closeSync, existsSync, openSync, readSync, statSync } from 'node:fs';
import { chromium } from 'playwright-core';
import sharp from 'sharp';
import { refuse } from './script-flags.mjs';

const signature = Buffer.from('\x89PNG\r\n\x1a\n', 'latin1');

function isPng(path) {
  if (!statSync(path).isFile()) return false;
  const begin = Buffer.alloc(signature.length);
  const file = openSync(path);
  readSync(file, begin);
  closeSync(file);
  return begin.equals(signature);
}

/** An earlier picture may be replaced, and nothing else. */
export function refuseUnlessPicture(out) {
  if (!existsSync(out) || isPng(out)) return;
  refuse(
    `${out} exists and is no PNG, expected a new file or an earlier picture. Give another name`,
  );
}

/**
 * @param settings - of a page, as Playwright takes them
 * @param use - is given the page
 */
export async function withPage(settings, use) {
  const browser = await chromium
    .launch({
      executablePath: process.env['CHROMIUM'] ?? '/usr/bin/chromium',
      args: process.getuid?.() === 0 ? ['--no-sandbox'] : [],
    })
    .catch((error) => {
      const [problem] = error.message.split('\n');
      throw new Error(
        `${problem.replace(/\.?$/, '.')} Run scripts/setup --browser, or set CHROMIUM to its path.`,
      );
    });
  try {
    await use(await browser.newPage(settings));
  } finally {
    await browser.close();
  }
}

/** Few colours in as few bytes. */
export const writePicture = async (out, screenshot) =>
  sharp(await screenshot)
    .png({ palette: true, compressionLevel: 9 })
    .toFile(out);
