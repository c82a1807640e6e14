// For tests: what the page makes of a picture, in a real browser.
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import type { Preprocessing } from 'mamba-prune/preparation';
import type { Browser } from 'playwright-core';

export interface Wanted {
  readonly channels: number;
  readonly side: number;
  readonly preprocessing: Preprocessing;
}

const source = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

/** The page's own module, as `window.pixels`. */
async function bundle(): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [source('../../page/try-out/pixels.ts')],
    bundle: true,
    write: false,
    format: 'iife',
    globalName: 'pixels',
    target: 'es2022',
    alias: {
      'mamba-prune/preparation': source('../../../mamba-prune/src/preparation/index.ts'),
    },
  });
  return outputFiles[0]?.text ?? '';
}

/** @returns uint8 [channels, side, side] of each picture; text where the browser cannot read it */
export async function pagePixels(
  browser: Browser,
  pictures: readonly (readonly [bytes: Uint8Array, wanted: Wanted])[],
): Promise<(Uint8Array | string)[]> {
  const page = await browser.newPage();
  try {
    await page.addScriptTag({ content: await bundle() });
    const results: (Uint8Array | string)[] = [];
    for (const [bytes, wanted] of pictures) {
      const base64 = Buffer.from(bytes).toString('base64');
      // As text: these are the browser's types.
      const answer = await page.evaluate<{
        readonly pixels?: string;
        readonly error?: string;
      }>(`(async () => {
        const blob = await (await fetch('data:application/octet-stream;base64,${base64}')).blob();
        try {
          const { pixels: found } = await pixels.imageInput(blob, ${JSON.stringify(wanted)});
          return { pixels: Array.from(found, (value) => String.fromCharCode(value)).join('') };
        } catch (error) {
          return { error: String(error) };
        }
      })()`);
      results.push(answer.error ?? Uint8Array.from(Buffer.from(answer.pixels ?? '', 'latin1')));
    }
    return results;
  } finally {
    await page.close();
  }
}
