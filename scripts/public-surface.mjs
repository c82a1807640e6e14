// The public surface in text: one file for each entry of the packages, with every name that it exports and its signature.
// A change of the surface is a change of these files, which a reader of the change sees.
//
//   node scripts/public-surface.mjs            fails if a file is not what the compiled packages offer
//   node scripts/public-surface.mjs --update   writes the files
//
// It reads the compiled declarations; npm run surface compiles first.
import { Extractor, ExtractorConfig } from '@microsoft/api-extractor';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { entryPoints } from './entry-points.mjs';
import { report, root } from './package-check/tarballs.mjs';
import { readFlags } from './script-flags.mjs';

const {
  values: { update },
} = readFlags({ update: { type: 'boolean', default: false } });
const made = mkdtempSync(join(tmpdir(), 'mamba-prune-surface-'));
process.on('exit', () => rmSync(made, { recursive: true, force: true }));

const problems = [];
const silent = { default: { logLevel: 'none' } };

/** `preparation.threads.api.md` for `mamba-prune/preparation/threads`, `index.api.md` for the package itself. */
const fileOf = ({ name }) =>
  `${name.replace(/^(@[^/]+\/)?[^/]+\/?/, '').replaceAll('/', '.') || 'index'}.api.md`;

function surfaceOf({ name, folder, declarations }) {
  const config = ExtractorConfig.prepare({
    configObject: {
      projectFolder: folder,
      mainEntryPointFilePath: declarations,
      compiler: { tsconfigFilePath: join(folder, 'tsconfig.json') },
      apiReport: {
        enabled: true,
        reportFileName: 'surface.api.md',
        reportFolder: made,
        reportTempFolder: join(made, 'temp'),
      },
      docModel: { enabled: false },
      dtsRollup: { enabled: false },
      tsdocMetadata: { enabled: false },
      // Names without a comment and types that an entry leaves to another one: the reference looks after these.
      messages: {
        compilerMessageReporting: silent,
        extractorMessageReporting: silent,
        tsdocMessageReporting: silent,
      },
    },
    configObjectFullPath: undefined,
    packageJsonFullPath: join(folder, 'package.json'),
  });
  Extractor.invoke(config, {
    localBuild: true,
    messageCallback: (message) => {
      if (message.logLevel === 'error') problems.push(`${name}: ${message.text}`);
      message.handled = true;
    },
  });
  const text = readFileSync(join(made, 'surface.api.md'), 'utf8')
    .replaceAll('\r\n', '\n')
    .replace(/\n\/\/ \(No @packageDocumentation comment for this package\)\n/, '')
    // That a comment is missing is no part of the surface.
    .replaceAll(/^ *\/\/ \(undocumented\)\n/gm, '')
    .replaceAll('// @public (undocumented)\n', '')
    .replaceAll('// @public\n', '');
  return text.replace(/^## .*\n\n> .*\n/, `## ${name}\n\nWritten by \`npm run surface\`.\n`);
}

const files = new Set();
for (const entry of entryPoints()) {
  const path = join(entry.folder, 'api', fileOf(entry));
  files.add(path);
  const surface = surfaceOf(entry);
  if (existsSync(path) && readFileSync(path, 'utf8') === surface) continue;
  if (update) {
    mkdirSync(join(entry.folder, 'api'), { recursive: true });
    writeFileSync(path, surface);
    console.log(`${relative(root, path)}: written`);
  } else {
    problems.push(
      `${relative(root, path)} is not what ${entry.name} offers. Run: npm run surface, and commit what it writes`,
    );
  }
}
for (const folder of new Set(entryPoints().map((entry) => join(entry.folder, 'api')))) {
  for (const name of existsSync(folder) ? readdirSync(folder) : []) {
    const path = join(folder, name);
    if (files.has(path)) continue;
    if (update) rmSync(path);
    else problems.push(`${relative(root, path)} is of no entry. Run: npm run surface`);
  }
}
report(problems);
