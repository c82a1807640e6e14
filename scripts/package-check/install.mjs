// The tarballs in an empty project, as a user gets them: npm installs them (the addon is compiled there), the
// types are read, the library computes, the commands run.
//
//   node scripts/package-check/install.mjs [--compile] [--keep]
//
// --compile compiles the addon anew (half a minute on two free cores), --keep leaves the project in its place.
import { spawnSync } from 'node:child_process';
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { packAll, report, root } from './tarballs.mjs';

const keep = process.argv.includes('--keep');
const compile = process.argv.includes('--compile');
const project = mkdtempSync(join(tmpdir(), 'mamba-prune-user-'));
process.on('exit', () => {
  if (keep) console.log(`The project is ${project}`);
  else rmSync(project, { recursive: true, force: true });
});

/** @returns what it printed on stdout; a failure ends the check, with all that was printed */
function run(command, ...args) {
  console.log(`  $ ${[command, ...args].join(' ')}`);
  const started = performance.now();
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    cwd: project,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    // Nothing of the workspace may help: `npm run` puts its commands on PATH, vitest sets variables.
    env: { ...process.env, PATH: ownPath(), NODE_ENV: '', NODE_PATH: '' },
  });
  if (status !== 0) {
    console.error(`${stdout}${stderr}${error?.message ?? ''}`);
    report([`'${[command, ...args].join(' ')}' ended with ${status}`]);
  }
  console.log(`    ${((performance.now() - started) / 1000).toFixed(1)} s`);
  return stdout;
}

const ownPath = () =>
  (process.env.PATH ?? '')
    .split(':')
    .filter((folder) => !folder.includes('node_modules'))
    .join(':');

const writeJson = (name, value) =>
  writeFileSync(join(project, name), `${JSON.stringify(value, null, 2)}\n`);

const tarballs = packAll();
const nameOf = ({ manifest }) => manifest.name;
const has = (name) => tarballs.some((tarball) => nameOf(tarball) === name);

// Newer npm runs only the install scripts that a project allows; others ignore the field.
writeJson('package.json', {
  name: 'a-user',
  private: true,
  type: 'module',
  allowScripts: Object.fromEntries(tarballs.map((tarball) => [nameOf(tarball), true])),
});
// In one go: the packages need each other in versions that the registry may not have yet.
const paths = tarballs.map(({ path }) => path);
run('npm', 'install', '--ignore-scripts', '--no-audit', '--no-fund', '--prefer-offline', ...paths);
if (has('@mamba-prune/libtorch')) buildAddon();

/**
 * Runs the package's install script. Objects are named after all that they are compiled from, so those of the
 * workspace are taken only if they are just what would be compiled here; --compile does without them.
 */
function buildAddon() {
  const objects = join('build', 'objects');
  const workspace = join(root, 'packages', 'libtorch', objects);
  const installed = join(project, 'node_modules', '@mamba-prune', 'libtorch', objects);
  if (!compile && existsSync(workspace)) cpSync(workspace, installed, { recursive: true });
  run('npm', 'rebuild', '--foreground-scripts', '@mamba-prune/libtorch');
  // For an npm that has not run the script; it does nothing otherwise.
  run('npx', '--no-install', 'mamba-prune-libtorch', 'build');
}

// Every entry point loads, and its types are whole.
const entries = tarballs.flatMap(({ manifest }) =>
  Object.entries(manifest.exports ?? {})
    .filter(([, target]) => typeof target !== 'string' || /\.[cm]?js$/.test(target))
    .map(([path]) => manifest.name + path.slice(1)),
);
writeFileSync(
  join(project, 'entries.ts'),
  entries.map((entry, i) => `export * as e${i} from '${entry}';\n`).join(''),
);
copyFileSync(
  fileURLToPath(new URL('use-library.ts', import.meta.url)),
  join(project, 'use-library.ts'),
);
writeJson('tsconfig.json', {
  compilerOptions: {
    target: 'ES2022',
    module: 'NodeNext',
    strict: true,
    // Whole declarations too, and those of the packages that they name.
    skipLibCheck: false,
    types: ['node'],
    typeRoots: [join(root, 'node_modules', '@types')],
  },
});
run(process.execPath, join(root, 'node_modules', 'typescript', 'bin', 'tsc'), '-p', '.');
run(process.execPath, 'entries.js');
if (has('mamba-prune')) run(process.execPath, 'use-library.js', 'tiny.safetensors');

// Every command starts; the main one reads the model that the library has just written.
for (const { manifest } of tarballs) {
  for (const command of Object.keys(manifest.bin ?? {})) {
    run('npx', '--no-install', command, '--help');
  }
}
const problems = [];
if (has('mamba-prune')) {
  const version = run('npx', '--no-install', 'mamba-prune', '--version').trim();
  const { version: expected } = tarballs.find((t) => nameOf(t) === 'mamba-prune').manifest;
  if (version !== expected) problems.push(`--version: got ${version}, expected ${expected}`);
  const inspected = run(
    'npx',
    '--no-install',
    'mamba-prune',
    'inspect',
    'tiny.safetensors',
    '--json',
  );
  const { parameters } = JSON.parse(inspected);
  const { parameters: written } = JSON.parse(readFileSync(join(project, 'tiny.json'), 'utf8'));
  if (parameters !== written) problems.push(`inspect: got ${parameters}, expected ${written}`);
}
report(problems);
