// A report as one file that needs nothing else: no network, no server.
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import type { ReportData } from './page-data/report.js';
import type { TryOutModel } from './page-data/try-out.js';
import { checkPage } from './page-checks.js';
import { generatorTag } from './report-file.js';

/**
 * What the page may do: run what stands in it, and reach nothing outside. A report that is opened from
 * the disk or mailed around cannot call home, whatever a name in it says.
 */
const policy = [
  "default-src 'none'",
  "script-src 'unsafe-inline' 'wasm-unsafe-eval' blob:",
  "style-src 'unsafe-inline'",
  'img-src data: blob:',
  'font-src data:',
  'worker-src blob:',
  'connect-src data: blob:',
].join('; ');

/** A model to put into a page. */
export interface EmbeddedModel {
  readonly model: TryOutModel;
  /** ONNX. */
  readonly file: Uint8Array;
}

/**
 * The text of a page that shows `data`, and runs the models that are given.
 * @param data - what `collect` gives, with what was measured beside it
 * @throws UsageError for entries that are unknown, missing or of another kind; Error if the package was not built
 */
export function reportHtml(data: ReportData, models: readonly EmbeddedModel[] = []): string {
  checkPage('reportHtml', data, models);
  return page({
    head: `<meta http-equiv="Content-Security-Policy" content="${policy}">\n<style>${asset('page.css')}</style>`,
    body:
      `<script type="application/json" id="data">${jsonForHtml(data)}</script>\n` +
      (models.length > 0 ? embedded(models) : '') +
      `<script type="module">${scriptForHtml(asset('page.js'))}</script>`,
  });
}

/** The models, what runs them, and the worker that it runs in. */
function embedded(models: readonly EmbeddedModel[]): string {
  const described = models.map(({ model }, i) => ({ ...model, element: `model-${i}` }));
  const runtime = readFileSync(runtimePath('ort-wasm-simd-threaded.wasm'));
  const text = (id: string, content: string): string =>
    `<script type="text/plain" id="${id}">${content}</script>\n`;
  return [
    `<script type="application/json" id="models">${jsonForHtml(described)}</script>\n`,
    ...models.map(({ file }, i) => text(`model-${i}`, packed(file))),
    text('ort', packed(runtime)),
    text('worker', scriptForHtml(asset('file-worker.js'))),
  ].join('');
}

const packed = (bytes: Uint8Array): string => gzipSync(bytes, { level: 9 }).toString('base64');

/** Of a file of onnxruntime-web. */
export const runtimePath = (name: string): string =>
  createRequire(import.meta.url).resolve(`onnxruntime-web/${name}`);

/** The document around a page, whose scripts may be inside or served. */
export function page({ head, body }: { readonly head: string; readonly body: string }): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
${generatorTag}
<title>mamba-prune</title>
<link rel="icon" href="${icon}">
${head}
</head>
<body>
<div id="app"></div>
${body}
</body>
</html>
`;
}

const icon =
  'data:image/svg+xml,' +
  encodeURIComponent(
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24"><g fill="#0a66c2">' +
      '<rect x="2" y="3" width="5" height="18" rx="2.5"/><rect x="9.5" y="12" width="5" height="9" rx="2.5"/>' +
      '<rect x="17" y="7" width="5" height="14" rx="2.5"/></g></svg>',
  );

const asset = (name: string): string => readFileSync(assetPath(name), 'utf8');

/** Of a file of the bundle. @throws Error if the package was not built */
export function assetPath(name: string): string {
  // Beside this file in dist; one folder up and into dist when tests run the sources.
  const path = ['./page/', '../dist/page/']
    .map((place) => fileURLToPath(new URL(`${place}${name}`, import.meta.url)))
    .find((candidate) => existsSync(candidate));
  if (path !== undefined) return path;
  throw new Error(
    `report: dist/page/${name} is missing, expected it beside the code. Run: npm run build`,
  );
}

/** No text in it can end the element that it stands in. */
const jsonForHtml = (data: unknown): string =>
  JSON.stringify(data).replaceAll('<', '\\u003c').replaceAll('\u2028', '\\u2028');

/** Of a bundle, whose strings may hold the same. */
const scriptForHtml = (script: string): string =>
  script.replaceAll('</script', '<\\/script').replaceAll('<!--', '<\\!--');
