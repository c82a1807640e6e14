// The tarballs in an empty project, as a user gets them: npm installs them and runs no script, the types are read, the
// library computes (which builds the addon), the commands run, and so does the example of a new architecture.
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
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { checkNewArchitecture } from './new-architecture.mjs';
import { packAll, report, root } from './tarballs.mjs';
import { readFlags } from '../script-flags.mjs';

const {
  values: { keep, compile },
} = readFlags({ keep: { type: 'boolean' }, compile: { type: 'boolean' } });
const project = mkdtempSync(join(tmpdir(), 'mamba-prune-user-'));
process.on('exit', () => {
  if (keep) console.log(`The project is ${project}`);
  else rmSync(project, { recursive: true, force: true });
});

/** @returns what it printed on stdout; a failure ends the check, with all that was printed */
const run = (command, ...args) => runBoth(command, ...args).stdout;

const runBoth = (...words) => runWith({}, ...words);

/** @param options.status that it has to end with */
function runWith({ status: expected = 0, env = {} }, command, ...args) {
  console.log(`  $ ${[command, ...args].join(' ')}`);
  const started = performance.now();
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    cwd: project,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    // Nothing of the workspace may help: `npm run` puts its commands on PATH, vitest sets variables.
    env: {
      ...process.env,
      PATH: ownPath(),
      NODE_ENV: '',
      NODE_PATH: '',
      MAMBA_PRUNE_BUILD: '',
      ...env,
    },
  });
  if (status !== expected) {
    console.error(`${stdout}${stderr}${error?.message ?? ''}`);
    report([`'${[command, ...args].join(' ')}' ended with ${status}`]);
  }
  console.log(`    ${((performance.now() - started) / 1000).toFixed(1)} s`);
  return { stdout, stderr };
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

writeJson('package.json', { name: 'a-user', private: true, type: 'module' });
// In one go: the packages need each other in versions that the registry may not have yet.
const paths = tarballs.map(({ path }) => path);
run('npm', 'install', '--ignore-scripts', '--no-audit', '--no-fund', '--prefer-offline', ...paths);
const addon = join(project, 'node_modules', '@mamba-prune', 'libtorch', 'build', 'addon.node');
const objects = join('build', 'objects');
// Objects are named after all that they are compiled from, so those of the workspace are taken only if they are
// just what would be compiled here; --compile does without them.
const compiled = join(root, 'packages', 'libtorch', objects);
if (!compile && existsSync(compiled)) {
  const installed = join(project, 'node_modules', '@mamba-prune', 'libtorch', objects);
  cpSync(compiled, installed, { recursive: true });
}
const problems = [];

/** @returns what it printed on stdout */
function expectOnStderr(expected, command) {
  const { stdout, stderr } = runBoth(...command);
  if (!expected.test(stderr)) {
    problems.push(`stderr of ${command.join(' ')}: got '${stderr}', expected ${expected}`);
  }
  return stdout;
}

/** What has run so far needs no tensors, and has built nothing. */
function expectNoAddon(what) {
  if (existsSync(addon)) problems.push(`${what}: the addon was built, which nothing there needs`);
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
for (const name of ['use-library.ts', 'own-options.ts']) {
  copyFileSync(fileURLToPath(new URL(name, import.meta.url)), join(project, name));
}
const compilerOptions = {
  target: 'ES2022',
  module: 'NodeNext',
  strict: true,
  // Whole declarations too, and those of the packages that they name.
  skipLibCheck: false,
  types: ['node'],
  typeRoots: [join(root, 'node_modules', '@types')],
};
// The example of a new architecture, which is put here later, is a project of its own.
writeJson('tsconfig.json', { compilerOptions, include: ['*.ts'] });
run(process.execPath, join(root, 'node_modules', 'typescript', 'bin', 'tsc'), '-p', '.');
run(process.execPath, 'entries.js');

// Every command starts. What first computes, the library or a command, builds the addon and says so in a line; then
// nothing is said any more.
for (const { manifest } of tarballs) {
  for (const command of Object.keys(manifest.bin ?? {})) {
    run('npx', '--no-install', command, '--help');
  }
}
if (has('mamba-prune')) {
  const version = run('npx', '--no-install', 'mamba-prune', '--version').trim();
  const { version: expected } = tarballs.find((t) => nameOf(t) === 'mamba-prune').manifest;
  if (version !== expected) problems.push(`--version: got ${version}, expected ${expected}`);
  run('npx', '--no-install', 'mamba-prune', 'data', 'list');
  const listed = JSON.parse(run('npx', '--no-install', 'mamba-prune', 'models', '--json')).models;
  const index = join(project, 'node_modules', '@mamba-prune', 'models', 'index.json');
  const { models } = JSON.parse(readFileSync(index, 'utf8'));
  if (listed.length !== models.length) {
    problems.push(`models: got ${listed.length}, expected the ${models.length} of ${index}`);
  }
  expectNoAddon('version, help, types, imports, data list and models');

  const once = /^mamba-prune: building the addon, once, [^\n]+\n$/;
  const silent = /^$/;
  const library = [process.execPath, 'use-library.js', 'tiny.safetensors'];
  const command = ['npx', '--no-install', 'mamba-prune', 'inspect', 'tiny.safetensors', '--json'];
  expectOnStderr(once, library);
  expectOnStderr(silent, library);
  rmSync(addon);
  expectOnStderr(once, command);
  const { parameters } = JSON.parse(expectOnStderr(silent, command));
  const { parameters: written } = JSON.parse(readFileSync(join(project, 'tiny.json'), 'utf8'));
  for (const { model, parameters: expectedOfModel } of listed) {
    const { parameters: got } = JSON.parse(
      run('npx', '--no-install', 'mamba-prune', 'inspect', model, '--json'),
    );
    if (got !== expectedOfModel) {
      problems.push(`inspect ${model}: got ${got} parameters, expected ${expectedOfModel}`);
    }
  }
  if (parameters !== written) problems.push(`inspect: got ${parameters}, expected ${written}`);

  // Half a gigabyte that is here already; a user installs it.
  const runtime = join('node_modules', 'onnxruntime-node');
  symlinkSync(join(root, runtime), join(project, runtime));
  const found = await checkNewArchitecture({ project, compilerOptions, run: runWith });
  problems.push(...found.map((problem) => `the example of a new architecture: ${problem}`));
}
report(problems);
