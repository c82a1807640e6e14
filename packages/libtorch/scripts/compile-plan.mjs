// What the addon is compiled and linked from: flags, units and libraries, and a key that changes when any of it does.
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ncclFlags } from './find-nccl.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
export const native = join(root, 'native');

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

export const hash = (...parts) => {
  const sum = createHash('sha256');
  for (const part of parts) sum.update(part).update('\0');
  return sum.digest('hex');
};

export const librarySize = (lib) => statSync(join(lib, 'libtorch_cpu.so')).size;

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
    throw new Error(
      `the npm package ${packageName} is missing. Install the dependencies again: npm install (in a clone: npm ci).`,
    );
  }
}

/** What has to be compiled and linked, and a key that changes when any of it does. */
export function plan(libtorch) {
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
