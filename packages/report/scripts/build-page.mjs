// Bundles the page into dist/page: page.js and page.css with the fonts inside, the workers that run models, what draws a comparison
// without a browser, with its fonts, and the licences of everything that went in. Needs nothing but what npm installed.
//
//     node scripts/build-page.mjs            builds
//     node scripts/build-page.mjs --check    builds only if a source is newer than the bundle
import { mkdirSync, readFileSync, readdirSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { readFlags } from '../../../scripts/script-flags.mjs';

const folder = join(dirname(fileURLToPath(import.meta.url)), '..');
const out = join(folder, 'dist/page');

/** The latest change of anything that the bundle is made of. */
function newest(path) {
  const stat = statSync(path);
  if (!stat.isDirectory()) return stat.mtimeMs;
  return Math.max(0, ...readdirSync(path).map((name) => newest(join(path, name))));
}

function isCurrent() {
  // Written last.
  const built = statSync(join(out, 'licences.txt'), { throwIfNoEntry: false })?.mtimeMs ?? 0;
  const sources = [
    ...['page', 'scripts', 'package.json', '../../package-lock.json'],
    ...Object.values(shared),
  ];
  return sources.every((path) => newest(join(folder, path)) < built);
}

/** The sources, as the page's own: a bundle must not depend on when another package was compiled. */
const shared = {
  'mamba-prune/format': '../mamba-prune/src/format.ts',
  'mamba-prune/preparation': '../mamba-prune/src/preparation',
};

const options = {
  absWorkingDir: folder,
  outdir: out,
  bundle: true,
  minify: true,
  metafile: true,
  format: 'esm',
  target: 'es2022',
  jsx: 'automatic',
  jsxImportSource: 'preact',
  loader: { '.woff2': 'dataurl' },
  tsconfig: 'page/tsconfig.json',
  alias: {
    'mamba-prune/format': join(folder, shared['mamba-prune/format']),
    'mamba-prune/preparation': join(folder, shared['mamba-prune/preparation'], 'index.ts'),
  },
  charset: 'utf8',
  legalComments: 'none',
  banner: { js: '/* Licences: licences.txt of @mamba-prune/report */' },
  logLevel: 'warning',
  write: false,
};

/** In one step: tests may build at the same time, and another one reads what is there. */
function replace(path, contents) {
  const temporary = `${path}.${process.pid}.tmp`;
  writeFileSync(temporary, contents);
  renameSync(temporary, path);
}

/** Those of pictures without a browser, which cannot read the page's: two of the many that the package has. */
const fonts = ['400Regular/Inter_400Regular.ttf', '600SemiBold/Inter_600SemiBold.ttf'];
const fontPackage = dirname(
  createRequire(import.meta.url).resolve('@expo-google-fonts/inter/package.json'),
);

function copyFonts() {
  mkdirSync(join(out, 'fonts'), { recursive: true });
  for (const font of fonts) {
    replace(join(out, 'fonts', basename(font)), readFileSync(join(fontPackage, font)));
  }
}

/** The folders of the npm packages that a file comes from. */
const packageOf = (input) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(input)?.[0];

/** Name, version and licence text of every package in the bundles. */
function licences(results) {
  const inputs = results.flatMap(({ metafile }) => Object.keys(metafile.inputs));
  const places = [...inputs.map(packageOf).filter(Boolean), relative(folder, fontPackage)];
  const packages = [...new Set(places)].sort();
  return packages.map((path) => {
    const place = join(folder, path);
    const { name, version, license } = JSON.parse(
      readFileSync(join(place, 'package.json'), 'utf8'),
    );
    // A font has one of its own beside that of its package.
    const texts = readdirSync(place)
      .filter((entry) => /^licen[cs]e/i.test(entry))
      .map((entry) => `\n\n${readFileSync(join(place, entry), 'utf8').trim()}`);
    return `${name} ${version}: ${license}${texts.join('')}\n`;
  });
}

const { values } = readFlags({ check: { type: 'boolean' } });
if (!values.check || !isCurrent()) {
  mkdirSync(out, { recursive: true });
  const results = [
    await build({ ...options, entryPoints: { page: 'page/main.tsx' } }),
    // The studio serves onnxruntime's files, which have to stay apart for its threads.
    await build({
      ...options,
      entryPoints: { 'studio-worker': 'page/try-out/studio-worker.ts' },
      conditions: ['onnxruntime-web-use-extern-wasm'],
    }),
    // Pages from the disk may start no workers that are modules.
    await build({
      ...options,
      entryPoints: { 'file-worker': 'page/try-out/file-worker.ts' },
      format: 'iife',
      define: { 'import.meta.url': 'self.location.href' },
    }),
    // What `mamba-prune compare` draws its picture with, under Node.js.
    await build({
      ...options,
      platform: 'node',
      entryPoints: { 'comparison-file': 'page/comparison/file.ts' },
    }),
  ];
  copyFonts();
  for (const { outputFiles } of results) {
    for (const { path, contents } of outputFiles) replace(path, contents);
  }
  replace(join(out, 'licences.txt'), licences(results).join(`\n${'-'.repeat(72)}\n\n`));
}
