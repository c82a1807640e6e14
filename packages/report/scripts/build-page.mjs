// Bundles the page into dist/page: page.js and page.css with the fonts inside, and the workers that run models. Needs nothing but what npm installed.
//
//     node scripts/build-page.mjs            builds
//     node scripts/build-page.mjs --check    builds only if a source is newer than the bundle
import { mkdirSync, readdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const folder = join(dirname(fileURLToPath(import.meta.url)), '..');
const out = join(folder, 'dist/page');

/** The latest change of anything that the bundle is made of. */
function newest(path) {
  const stat = statSync(path);
  if (!stat.isDirectory()) return stat.mtimeMs;
  return Math.max(0, ...readdirSync(path).map((name) => newest(join(path, name))));
}

function isCurrent() {
  const built = statSync(join(out, 'page.js'), { throwIfNoEntry: false })?.mtimeMs ?? 0;
  const sources = ['page', 'scripts', 'package.json', '../../package-lock.json'];
  return sources.every((path) => newest(join(folder, path)) < built);
}

if (!process.argv.includes('--check') || !isCurrent()) {
  mkdirSync(out, { recursive: true });
  const options = {
    absWorkingDir: folder,
    outdir: out,
    bundle: true,
    minify: true,
    format: 'esm',
    target: 'es2022',
    jsx: 'automatic',
    jsxImportSource: 'preact',
    loader: { '.woff2': 'dataurl' },
    tsconfig: 'page/tsconfig.json',
    charset: 'utf8',
    legalComments: 'none',
    logLevel: 'warning',
  };
  await build({ ...options, entryPoints: { page: 'page/main.tsx' } });
  // The studio serves onnxruntime's files, which have to stay apart for its threads.
  await build({
    ...options,
    entryPoints: { 'studio-worker': 'page/try-out/studio-worker.ts' },
    conditions: ['onnxruntime-web-use-extern-wasm'],
  });
  // Pages from the disk may start no workers that are modules.
  await build({
    ...options,
    entryPoints: { 'file-worker': 'page/try-out/file-worker.ts' },
    format: 'iife',
    define: { 'import.meta.url': 'self.location.href' },
  });
}
