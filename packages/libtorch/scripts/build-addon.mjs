// Builds build/addon.node against the libtorch found. Does nothing when neither the sources, nor
// libtorch, nor the compiler changed; recompiles only the parts that did. Safe to run twice at once.
//
//   node scripts/build-addon.mjs [--check] [--force] [--verbose] [--first-use]
//
// --check builds nothing: exit status 0 if the addon is current, 3 if it has to be built.
// --first-use is for a program that finds no addon (src/build-at-first-use.ts): one line on stderr when there is
// something to wait for, and on stdout nothing but why it failed.
// MAMBA_PRUNE_BUILD names another folder than build/: for two libtorchs, or where the package cannot be written.
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
import { availableParallelism } from 'node:os';
import { basename, dirname, join, relative } from 'node:path';
import { buildFolder as build } from './build-folder.mjs';
import { withBuildLock } from './build-lock.mjs';
import { hash, librarySize, native, plan } from './compile-plan.mjs';
import {
  compile,
  compileUnit,
  compiler,
  compilerVersion,
  firstErrors,
  inParallel,
} from './compiler.mjs';
import { findLibtorch } from './find-libtorch.mjs';

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
const check = flags.includes('--check');
const force = flags.includes('--force');
const verbose = flags.includes('--verbose');
const firstUse = flags.includes('--first-use');
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
        const output = await compileUnit(work, object, source, temporary, verbose);
        if (output.trim()) tell(output);
        renameSync(temporary, object.path);
        tell(`  [${++done}/${missing.length}] ${object.name}`);
      }),
      availableParallelism(),
    );
    const temporary = `${addon}.${process.pid}.tmp`;
    const inputs = objects.map((object) => object.path);
    await compile(['-shared', '-fopenmp', '-o', temporary, ...inputs, ...libraries], verbose);
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
