// Builds build/addon.node against the libtorch found. Does nothing when neither the sources, nor
// libtorch, nor the compiler changed; recompiles only the parts that did. Safe to run twice at once.
//
//   node scripts/build-addon.mjs [--check] [--force] [--verbose] [--first-use]
//
// --check builds nothing: exit status 0 if the addon is current, 3 if it has to be built.
// --first-use is for a program that finds no addon (src/build-at-first-use.ts): one line on stderr when there is
// something to wait for, and on stdout nothing but why it failed.
// MAMBA_PRUNE_BUILD names another folder than build/: for two libtorchs, or where the package cannot be written.
import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { basename, dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildFolder as build } from './build-folder.mjs';
import { withBuildLock } from './build-lock.mjs';
import { findLibtorch } from './find-libtorch.mjs';
import { ncclFlags } from './find-nccl.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const native = join(root, 'native');
// CXX may hold words, such as `ccache g++`.
const [compiler, ...compilerPrefix] = (process.env.CXX?.trim() || 'g++').split(/\s+/);
// `mamba-prune-libtorch build` runs this with its own word before the flags.
const flags = process.argv.slice(2).filter((word, i) => i > 0 || word !== 'build');
const knownFlags = ['--check', '--force', '--verbose', '--first-use'];
// The package is published without the helper that the other scripts of the repository read their flags with.
if (flags.some((flag) => ['--help', '-h'].includes(flag))) {
  console.log(`build-addon.mjs ${knownFlags.map((flag) => `[${flag}]`).join(' ')}`);
  process.exit(0);
}
const unknownFlag = flags.find((flag) => !knownFlags.includes(flag));
if (unknownFlag !== undefined) {
  console.error(`build-addon: got '${unknownFlag}', expected some of ${knownFlags.join(', ')}.`);
  process.exit(2);
}
const [check, force, verbose, firstUse] = knownFlags.map((flag) => flags.includes(flag));
const addon = join(build, 'addon.node');
const stamp = join(build, 'addon.json');

/** Ends with a message; process.exit runs the lock's own clean-up. */
function fail(message) {
  if (firstUse) writeSync(1, `${message}\n`);
  else console.error(`build-addon: ${message}`);
  process.exit(1);
}

/** Progress, for those who asked for a build. */
function tell(message) {
  if (!firstUse) console.error(message);
}

function filesUnder(folder, ending) {
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(ending))
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
    .sort();
}

/** A source and all of our own headers that it includes, directly or not. */
function withIncludes(source) {
  const seen = new Set([source]);
  for (const path of seen) {
    for (const [, name] of readFileSync(path, 'utf8').matchAll(/^\s*#\s*include\s+"(.+)"/gm)) {
      const header = [join(dirname(path), name), join(native, name)].find((file) =>
        existsSync(file),
      );
      if (header) seen.add(header);
    }
  }
  return [...seen];
}

const hash = (...parts) => {
  const sum = createHash('sha256');
  for (const part of parts) sum.update(part).update('\0');
  return sum.digest('hex');
};

/** First line of the compiler's version, undefined when it does not run. */
function compilerVersion() {
  try {
    return execFileSync(compiler, [...compilerPrefix, '--version'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).split('\n')[0];
  } catch {
    return undefined;
  }
}

/** Runs one compiler command; rejects with its output. */
function compile(args) {
  const words = [...compilerPrefix, ...args];
  if (verbose) console.error(compiler, words.join(' '));
  return new Promise((resolve, reject) => {
    const child = spawn(compiler, words, { stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    child.stdout.on('data', (text) => (output += text));
    child.stderr.on('data', (text) => (output += text));
    child.on('error', reject);
    child.on('close', (code) =>
      code === 0 ? resolve(output) : reject(new Error(output || `${compiler} ended with ${code}`)),
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

const librarySize = (lib) => statSync(join(lib, 'libtorch_cpu.so')).size;

function headerPackage(packageName, sub) {
  const require = createRequire(import.meta.url);
  try {
    const manifest = require.resolve(`${packageName}/package.json`);
    const { version } = JSON.parse(readFileSync(manifest, 'utf8'));
    return { folder: join(dirname(manifest), sub), version };
  } catch {
    // Without npm's folder (a server without network, say) the headers can lie beside the sources.
    const vendored = join(root, 'vendor', packageName, sub);
    if (existsSync(vendored)) return { folder: vendored, version: 'vendored' };
    return fail(
      `the npm package ${packageName} is missing. Install the dependencies again: npm install (in a clone: npm ci).`,
    );
  }
}

/** What has to be compiled and linked, and a key that changes when any of it does. */
function plan(libtorch) {
  const [major] = libtorch.version.split('.').map(Number);
  const flags = [
    // libtorch 2.x needs C++17 first and C++20 since 2.9; 1.13 does not compile as C++20.
    major >= 2 ? '-std=c++20' : '-std=c++17',
    '-fPIC',
    '-fopenmp',
    '-fvisibility=hidden',
    '-Wall',
    '-Wno-stringop-overflow', // false alarms in libtorch's own intrusive_ptr under GCC 12
    '-Wno-unknown-pragmas',
    ...(hasAvx512() ? [] : ['-DMAMBA_PRUNE_NO_AVX512']),
    ...(libtorch.cudaIncludes.length > 0 ? ['-DMAMBA_PRUNE_CUDA'] : []),
    '-DNAPI_VERSION=8',
    '-DNAPI_CPP_EXCEPTIONS',
    // A worker thread that is stopped can take no exception any more; without this the process aborts.
    '-DNODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS',
    ...libtorch.flags,
    ...[...libtorch.includes, ...libtorch.cudaIncludes].flatMap((path) =>
      path === '/usr/include' ? [] : ['-isystem', path],
    ),
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
  const nccl = ncclFlags(libtorch);
  const headers = [
    headerPackage('node-addon-api', ''),
    headerPackage('node-api-headers', 'include'),
  ];
  // Names what was compiled, not where: objects are the same in another clone or installation.
  const common = hash(
    [...flags, ...nccl].join(' '),
    headers.map(({ version }) => version).join(' '),
    libtorch.version,
    // An update that keeps the version number still changes the library.
    String(librarySize(libtorch.lib)),
    process.arch,
  );
  const units = compileUnits(libtorch).map((unit) => ({
    ...unit,
    content: hash(
      ...unit.sources
        .flatMap(withIncludes)
        .flatMap((path) => [relative(native, path), readFileSync(path)]),
    ),
  }));
  const key = hash(common, libraries.join(' '), ...units.flatMap((u) => [u.name, u.content]));
  const folders = [...headers.map(({ folder }) => folder), native].flatMap((path) => ['-I', path]);
  return { flags: [...flags, ...folders], nccl, libraries, common, units, key };
}

/**
 * What is compiled in one go. libtorch's headers take most of the time of a file that needs them, so
 * the files of a folder are compiled as one; a kernel file per instruction set stays alone, because
 * its compiler flags are its own.
 */
function compileUnits(libtorch) {
  const sources = filesUnder(native, '.cc');
  const isIsa = (path) => basename(path).startsWith('isa_');
  const of = (folder) =>
    sources.filter((path) => path.startsWith(join(native, folder)) && !isIsa(path));
  // Loops over registers: -O3 makes the scan 1.5 times as fast as -O2 does. On x86 the baseline is only
  // for processors without AVX2, and for float64; elsewhere it is what runs.
  const levelOf = (path) => (process.arch === 'x64' && path.includes('baseline') ? '-O1' : '-O3');
  // The longest first, so that no core waits for it at the end. -O1: glue, where the headers take the time.
  return [
    { name: 'kernels', level: '-O1', sources: of('kernels') },
    { name: 'bindings', level: '-O1', sources: of('bindings') },
    ...(libtorch.cudaIncludes.length > 0
      ? [{ name: 'cuda', level: '-O1', sources: of('cuda') }]
      : []),
    ...sources.filter(isIsa).map((path) => ({
      name: `kernels-${basename(path, '.cc')}`,
      level: levelOf(path),
      sources: [path],
    })),
  ];
}

/** The addon is built where it runs: kernels that this processor cannot run are left out. */
function hasAvx512() {
  try {
    return /\bavx512f\b/.test(readFileSync('/proc/cpuinfo', 'utf8'));
  } catch {
    return true; // unknown: keep them, the choice at run time is safe
  }
}

/** Whether the addon on disk is the one that this plan makes. */
function isCurrent(key, gcc) {
  try {
    const info = JSON.parse(readFileSync(stamp, 'utf8'));
    const { size, mtimeMs } = statSync(addon);
    return (
      info.key === key &&
      info.size === size &&
      info.mtimeMs === mtimeMs &&
      // Where the compiler is gone (a slim image), what it built is still good.
      (gcc === undefined || info.compiler === gcc)
    );
  } catch {
    return false; // not built yet, or interrupted
  }
}

function writeStamp(content) {
  const temporary = `${stamp}.${process.pid}.tmp`;
  writeFileSync(temporary, `${JSON.stringify(content, null, 2)}\n`);
  renameSync(temporary, stamp);
}

/** NCCL's headers may be those of another version than libtorch's; the rest works without them. */
async function compileUnit({ flags, nccl }, { name, level }, source, target) {
  const rest = [level, '-c', source, '-o', target];
  if (name !== 'bindings' || nccl.length === 0) return compile([...flags, ...rest]);
  try {
    return await compile([...flags, ...nccl, ...rest]);
  } catch (error) {
    const output = await compile([...flags, ...rest]);
    const reason = error.message.split('\n').find((line) => line.includes('error')) ?? '';
    return `${output}Built without NCCL, so that several workers train on CPUs only: ${reason}`;
  }
}

/** A compiler's output goes on for pages; what is wrong stands in few of its lines. */
function firstErrors(output) {
  const lines = output.split('\n').filter((line) => line.trim() !== '');
  const errors = lines.filter((line) => /error|cannot find|undefined reference/i.test(line));
  return (errors.length > 0 ? errors : lines).slice(0, 5).join('\n');
}

/** What the addon will lack, and what to do about it; empty if nothing. */
function leftOut({ cuda, cudaIncludes, cudaMissing }) {
  if (cudaMissing.length > 0) {
    return (
      `This libtorch has CUDA, but libraries are missing (${cudaMissing.join(', ')}): the addon computes on the CPU only. ` +
      'They come with pip install torch.'
    );
  }
  if (cuda && cudaIncludes.length === 0) {
    return 'The headers of CUDA were not found: our GPU kernels are left out. They come with pip install torch, or set CUDA_HOME.';
  }
  return '';
}

async function buildAddon(work, libtorch, gcc) {
  const { libraries, common, units, key } = work;
  const from = `libtorch ${libtorch.version}${libtorch.cuda ? ' with CUDA' : ''}, ${libtorch.source}`;
  const without = leftOut(libtorch);
  if (firstUse) {
    console.error(
      `mamba-prune: building the addon, once, against ${from}: about a minute on two cores.${without && ` ${without}`}`,
    );
  } else {
    console.error(`Building the addon against ${from}`);
    if (without) console.error(`  ${without}`);
  }
  const started = Date.now();
  const folder = join(build, 'objects');
  mkdirSync(folder, { recursive: true });
  const objects = units.map((unit) => ({
    ...unit,
    path: join(folder, `${unit.name}-${hash(common, gcc, unit.content).slice(0, 16)}.o`),
  }));
  const missing = objects.filter((object) => !existsSync(object.path));
  let done = 0;
  try {
    await inParallel(
      missing.map((object) => async () => {
        const temporary = `${object.path}.${process.pid}.tmp`;
        const source = object.path.replace(/\.o$/, '.cc');
        const lines = object.sources.map((path) => `#include "${relative(native, path)}"\n`);
        writeFileSync(source, lines.join(''));
        const output = await compileUnit(work, object, source, temporary);
        if (output.trim()) tell(output);
        renameSync(temporary, object.path);
        tell(`  [${++done}/${missing.length}] ${object.name}`);
      }),
      availableParallelism(),
    );
    const temporary = `${addon}.${process.pid}.tmp`;
    const inputs = objects.map((object) => object.path);
    await compile(['-shared', '-fopenmp', '-o', temporary, ...inputs, ...libraries]);
    // A process that has the old addon loaded keeps it: rename replaces the name, not the file.
    renameSync(temporary, addon);
  } catch (error) {
    return fail(
      `the compiler failed.\n${firstUse ? firstErrors(error.message) : error.message}\n` +
        `libtorch ${libtorch.version} of ${libtorch.lib}, ${gcc}. If libtorch's headers and libraries do not belong together, reinstall it or set LIBTORCH.`,
    );
  }
  const current = new Set(objects.map((object) => basename(object.path)));
  for (const name of readdirSync(folder)) {
    if (!current.has(name.replace(/\.cc$/, '.o'))) rmSync(join(folder, name), { force: true });
  }
  const { size, mtimeMs } = statSync(addon);
  const { version, lib, cuda } = libtorch;
  writeStamp({
    key,
    size,
    mtimeMs,
    libtorch: version,
    lib,
    cuda,
    compiler: gcc,
    // What a later start compares: an update in the same place. The system's library has its version in its name.
    ...(libtorch.system ? {} : { librarySize: librarySize(libtorch.lib) }),
  });
  tell(
    `Built ${relative(process.cwd(), addon)} in ${((Date.now() - started) / 1000).toFixed(0)} s`,
  );
}

async function main() {
  let libtorch;
  try {
    libtorch = findLibtorch();
  } catch (error) {
    return fail(error.message);
  }
  const gcc = compilerVersion();
  const work = plan(libtorch);
  if (!force && isCurrent(work.key, gcc)) return;
  if (check) process.exit(3);
  if (!gcc) {
    return fail(
      `no C++ compiler: '${compiler}' does not run.\n` +
        '  Debian or Ubuntu: apt-get install g++\n' +
        '  Elsewhere: install GCC 11 or newer, or set CXX to a compiler that has C++17 (C++20 for libtorch 2.x).',
    );
  }
  makeFolder(build);
  const waiting = `${firstUse ? 'mamba-prune: w' : 'W'}aiting for another process that is building the addon`;
  await withBuildLock(join(build, 'lock'), waiting, async () => {
    // Another process may have built just this since we looked.
    if (!force && isCurrent(work.key, gcc)) return;
    await buildAddon(work, libtorch, gcc);
  });
}

/** As mkdirSync with `recursive`, which never returns where a folder exists and nothing can be made in it (/proc). */
function makeFolder(path) {
  if (existsSync(path) && statSync(path).isDirectory()) return;
  const parent = dirname(path);
  if (!existsSync(parent)) makeFolder(parent);
  try {
    mkdirSync(path);
  } catch (error) {
    // Another process may have been quicker.
    if (error.code !== 'EEXIST' || !statSync(path).isDirectory()) throw error;
  }
}

/** What the file system refused, and what to do; other errors as they are. */
function explain(error) {
  if (!['EACCES', 'EPERM', 'EROFS', 'ENOTDIR', 'EEXIST', 'ENOENT', 'ENOSPC'].includes(error.code)) {
    return error.message;
  }
  return (
    `the addon cannot be built in ${build}: ${error.message}.\n` +
    'Build it as a user who may write there (npx mamba-prune-libtorch build), or set MAMBA_PRUNE_BUILD to a folder ' +
    'that can be written, now and whenever it is used.'
  );
}

try {
  await main();
} catch (error) {
  fail(explain(error));
}
