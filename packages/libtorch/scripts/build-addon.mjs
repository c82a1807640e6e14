// Builds build/addon.node against the libtorch found. Does nothing when neither the sources, nor
// libtorch, nor the compiler changed; recompiles only the files that did.
//
//   node scripts/build-addon.mjs [--force] [--verbose]
import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { basename, dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findLibtorch } from './find-libtorch.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const native = join(root, 'native');
const build = join(root, 'build');
const compiler = process.env.CXX || 'g++';
const verbose = process.argv.includes('--verbose');

function fail(message) {
  console.error(`build-addon: ${message}`);
  process.exit(1);
}

function filesUnder(folder, endings) {
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && endings.some((ending) => entry.name.endsWith(ending)))
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
    .sort();
}

const hash = (...parts) => {
  const sum = createHash('sha256');
  for (const part of parts) sum.update(part).update('\0');
  return sum.digest('hex');
};

function compilerVersion() {
  try {
    return execFileSync(compiler, ['--version'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).split('\n')[0];
  } catch {
    return fail(
      `no C++ compiler: '${compiler}' does not run.\n` +
        '  Debian or Ubuntu: apt-get install g++\n' +
        '  Elsewhere: install GCC 11 or newer, or set CXX to a compiler that has C++17.',
    );
  }
}

/** Runs one compiler command; rejects with its output. */
function run(command, args) {
  if (verbose) console.error(command, args.join(' '));
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    child.stdout.on('data', (text) => (output += text));
    child.stderr.on('data', (text) => (output += text));
    child.on('error', reject);
    child.on('close', (code) =>
      code === 0 ? resolve(output) : reject(new Error(output || `${command} ended with ${code}`)),
    );
  });
}

async function inParallel(jobs, limit) {
  const queue = [...jobs];
  await Promise.all(
    Array.from({ length: limit }, async () => {
      for (let job = queue.shift(); job; job = queue.shift()) await job();
    }),
  );
}

function headerFolder(packageName, sub) {
  const require = createRequire(import.meta.url);
  try {
    return join(dirname(require.resolve(`${packageName}/package.json`)), sub);
  } catch {
    // Without npm's folder (a server without network, say) the headers can lie beside the sources.
    const vendored = join(root, 'vendor', packageName, sub);
    if (existsSync(vendored)) return vendored;
    return fail(`the npm package ${packageName} is missing. Run npm ci first.`);
  }
}

async function main() {
  let libtorch;
  try {
    libtorch = findLibtorch();
  } catch (error) {
    return fail(error.message);
  }
  const gcc = compilerVersion();
  const [major] = libtorch.version.split('.').map(Number);
  const flags = [
    '-O2',
    // libtorch 2.x needs C++17 first and C++20 since 2.9; 1.13 does not compile as C++20.
    major >= 2 ? '-std=c++20' : '-std=c++17',
    '-fPIC',
    '-fopenmp',
    '-fvisibility=hidden',
    '-Wall',
    '-Wno-stringop-overflow', // false alarms in libtorch's own intrusive_ptr under GCC 12
    '-Wno-unknown-pragmas',
    '-DNAPI_VERSION=8',
    '-DNAPI_CPP_EXCEPTIONS',
    ...libtorch.flags,
    ...[
      headerFolder('node-addon-api', ''),
      headerFolder('node-api-headers', 'include'),
      native,
    ].flatMap((path) => ['-I', path]),
    ...libtorch.includes.flatMap((path) => (path === '/usr/include' ? [] : ['-isystem', path])),
  ];
  const libraries = [
    `-L${libtorch.lib}`,
    // --no-as-needed: libtorch_cuda registers its kernels when loaded, and nothing here names it.
    '-Wl,--no-as-needed',
    ...(libtorch.cuda ? ['-ltorch', '-ltorch_cuda', '-lc10_cuda'] : []),
    '-ltorch_cpu',
    '-lc10',
    ...(libtorch.system ? [] : [`-Wl,-rpath,${libtorch.lib}`]),
  ];

  const sources = filesUnder(native, ['.cc']);
  const headers = filesUnder(native, ['.h']);
  const headerHash = hash(...headers.map((path) => readFileSync(path)));
  const common = hash(
    headerHash,
    gcc,
    flags.join(' '),
    libtorch.version,
    libtorch.lib,
    process.arch,
  );
  const objects = sources.map((source) => {
    const name = relative(native, source).replaceAll('/', '-').replace(/\.cc$/, '');
    return {
      source,
      name,
      path: join(build, 'objects', `${name}-${hash(common, readFileSync(source)).slice(0, 16)}.o`),
    };
  });
  const key = hash(common, libraries.join(' '), ...objects.map((object) => basename(object.path)));

  const addon = join(build, 'addon.node');
  const stamp = join(build, 'addon.json');
  const info = existsSync(stamp) ? JSON.parse(readFileSync(stamp, 'utf8')) : {};
  if (info.key === key && existsSync(addon) && !process.argv.includes('--force')) return;

  console.error(
    `Building the addon against libtorch ${libtorch.version}${libtorch.cuda ? ' with CUDA' : ''}, ${libtorch.source}`,
  );
  const started = Date.now();
  mkdirSync(join(build, 'objects'), { recursive: true });
  const missing = objects.filter((object) => !existsSync(object.path));
  let done = 0;
  try {
    await inParallel(
      missing.map((object) => async () => {
        const temporary = `${object.path}.${process.pid}.tmp`;
        const output = await run(compiler, [...flags, '-c', object.source, '-o', temporary]);
        if (output.trim()) console.error(output);
        renameSync(temporary, object.path);
        console.error(`  [${++done}/${missing.length}] ${object.name}`);
      }),
      availableParallelism(),
    );
    const temporary = `${addon}.${process.pid}.tmp`;
    await run(compiler, [
      '-shared',
      '-fopenmp',
      '-o',
      temporary,
      ...objects.map((object) => object.path),
      ...libraries,
    ]);
    renameSync(temporary, addon);
  } catch (error) {
    return fail(
      `the compiler failed.\n${error.message}\n` +
        `libtorch ${libtorch.version} of ${libtorch.lib}, ${gcc}. If libtorch's headers and libraries do not belong together, reinstall it or set LIBTORCH.`,
    );
  }
  const current = new Set(objects.map((object) => basename(object.path)));
  for (const name of readdirSync(join(build, 'objects'))) {
    if (!current.has(name)) rmSync(join(build, 'objects', name), { force: true });
  }
  writeFileSync(
    stamp,
    `${JSON.stringify({ key, libtorch: libtorch.version, lib: libtorch.lib, cuda: libtorch.cuda, compiler: gcc }, null, 2)}\n`,
  );
  console.error(
    `Built ${relative(process.cwd(), addon)} in ${((Date.now() - started) / 1000).toFixed(0)} s`,
  );
}

await main();
