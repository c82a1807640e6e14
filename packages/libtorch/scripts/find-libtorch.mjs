// Finds libtorch: LIBTORCH (a folder), then the torch of the python3 on PATH, then the system's package.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync, realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const cudaCompat = fileURLToPath(new URL('../native/cuda/compat', import.meta.url));

const waysOut = `  1. Debian or Ubuntu: apt-get install libtorch-dev libopenblas0-openmp
  2. Python: pip install torch, with that python3 first on PATH
  3. Any copy of libtorch: unpack it and set LIBTORCH to its folder (the one that holds include/ and lib/)`;

/**
 * @typedef {object} Libtorch
 * @property {string} source where it was found, in words
 * @property {string[]} includes header folders
 * @property {string} lib folder of libtorch_cpu.so
 * @property {string} version such as 1.13.1
 * @property {boolean} cuda whether this build of libtorch has CUDA, with all the libraries which that needs
 * @property {string[]} cudaMissing names of libraries for want of which its CUDA is left out
 * @property {string[]} cudaIncludes header folders of CUDA and its libraries; empty if none, or not all, were found
 * @property {string[]} flags compiler flags its ABI asks for
 * @property {boolean} system whether the loader finds it without an rpath
 */

/** @returns {Libtorch | undefined} */
function inspect(root, source) {
  const include = join(root, 'include');
  const lib = join(root, 'lib');
  if (!existsSync(join(include, 'ATen', 'ATen.h')) || !existsSync(join(lib, 'libtorch_cpu.so'))) {
    return undefined;
  }
  return describe({ include, lib, source, system: false, abiFrom: root });
}

/**
 * The header folders that libtorch's own CUDA headers need: pip's packages beside torch (one folder since CUDA 13, one
 * for each library before), else a CUDA toolkit.
 */
function findCudaHeaders(sitePackages) {
  const nvidia = join(sitePackages, 'nvidia');
  const packages = existsSync(nvidia)
    ? readdirSync(nvidia)
        .sort()
        .map((name) => join(nvidia, name, 'include'))
    : [];
  const toolkits = [process.env.CUDA_HOME, process.env.CUDA_PATH, '/usr/local/cuda']
    .filter(Boolean)
    .flatMap((path) => [join(path, 'include'), join(path, 'include', 'cccl')]);
  const has = (folders, name) => folders.some((folder) => existsSync(join(folder, name)));
  const libraries = ['cuda_runtime_api.h', 'cublasLt.h', 'cusparse.h', 'cusolverDn.h'];
  // Headers of the compiler's package: pip installs it only with nvcc. Ours stand in for them.
  const compilers = ['crt/host_defines.h', 'nv/target'];
  const candidates = [toolkits, [...packages, ...toolkits], [...packages, ...toolkits, cudaCompat]];
  for (const folders of candidates) {
    const present = folders.filter((folder) => existsSync(folder));
    if ([...libraries, ...compilers].every((name) => has(present, name))) return present;
  }
  return [];
}

/**
 * Libraries that the loader would not find for libtorch_cuda.so, as after `pip install --no-deps torch`. What is linked
 * to it would not load then, though the CPU's part is whole. The driver's library is none of them: it is often missing
 * where programs are only built.
 */
function missingForCuda(lib) {
  try {
    const listed = execFileSync('ldd', [join(lib, 'libtorch_cuda.so')], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const names = [...listed.matchAll(/^\s*(\S+) => not found/gm)].map(([, name]) => name);
    return [...new Set(names)].filter((name) => !name.startsWith('libcuda.so')).sort();
  } catch {
    return []; // no ldd, or one that does not answer: the linker and the loader decide
  }
}

function describe({ include, lib, source, system, abiFrom }) {
  const api = join(include, 'torch', 'csrc', 'api', 'include');
  // Since 2.9 the numbers are in a header of their own, which the old one includes.
  const header = [join(include, 'torch', 'headeronly'), join(api, 'torch')]
    .map((folder) => join(folder, 'version.h'))
    .filter((path) => existsSync(path))
    .map((path) => readFileSync(path, 'utf8'))
    .join('\n');
  const number = (name) => {
    const found = header.match(new RegExp(`${name} (\\d+)`));
    if (!found) throw new Error(`${source}: its headers do not tell the version (${name}).`);
    return found[1];
  };
  const version = ['MAJOR', 'MINOR', 'PATCH']
    .map((part) => number(`TORCH_VERSION_${part}`))
    .join('.');
  const flags = [];
  const config = join(abiFrom, 'share', 'cmake', 'Torch', 'TorchConfig.cmake');
  if (existsSync(config)) {
    const abi = readFileSync(config, 'utf8').match(/_GLIBCXX_USE_CXX11_ABI=(\d)/);
    if (abi) flags.push(`-D_GLIBCXX_USE_CXX11_ABI=${abi[1]}`);
  }
  const withCuda = existsSync(join(lib, 'libtorch_cuda.so'));
  const cudaMissing = withCuda ? missingForCuda(lib) : [];
  const cuda = withCuda && cudaMissing.length === 0;
  return {
    source,
    includes: [include, api],
    lib,
    version,
    cuda,
    cudaMissing,
    cudaIncludes: cuda ? findCudaHeaders(dirname(abiFrom)) : [],
    flags,
    system,
  };
}

function fromPython() {
  // find_spec reads no torch code: importing torch takes seconds.
  const script = "import importlib.util as u; s=u.find_spec('torch'); print(s.origin if s else '')";
  let origin;
  try {
    origin = execFileSync('python3', ['-c', script], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
  } catch {
    return undefined; // no python3, or one that does not run
  }
  if (!origin) return undefined;
  const root = dirname(realpathSync(origin));
  // Debian's python3-torch only links to the system's libtorch: found either way, it is one and the same,
  // and must not look like another one to build for.
  const library = join(root, 'lib', 'libtorch_cpu.so');
  const system = existsSync(library) ? fromSystem() : undefined;
  if (system && realpathSync(library) === realpathSync(join(system.lib, 'libtorch_cpu.so'))) {
    return system;
  }
  return inspect(root, `torch of python3 (${dirname(origin)})`);
}

function fromSystem() {
  const include = '/usr/include';
  if (!existsSync(join(include, 'ATen', 'ATen.h'))) return undefined;
  const libraries = ['/usr/lib', '/usr/lib64'].filter((folder) => existsSync(folder));
  const multiarch = readdirSync('/usr/lib')
    .filter((name) => name.endsWith('-linux-gnu'))
    .map((name) => join('/usr/lib', name));
  const lib = [...multiarch, ...libraries].find((folder) =>
    existsSync(join(folder, 'libtorch_cpu.so')),
  );
  return (
    lib &&
    describe({ include, lib, source: `system package (${lib})`, system: true, abiFrom: '/usr' })
  );
}

/**
 * @returns {Libtorch}
 * @throws {Error} with the ways to get one when there is none
 */
export function findLibtorch() {
  const wanted = process.env.LIBTORCH;
  if (wanted) {
    const found = inspect(wanted, `LIBTORCH (${wanted})`);
    if (found) return found;
    throw new Error(
      `LIBTORCH is '${wanted}', but include/ATen/ATen.h or lib/libtorch_cpu.so is missing there.\n` +
        `Unset it, or set it to a folder that has both. Ways to get libtorch:\n${waysOut}`,
    );
  }
  const found = fromPython() ?? fromSystem();
  if (found) return found;
  throw new Error(`libtorch was not found. Ways to get it:\n${waysOut}`);
}
