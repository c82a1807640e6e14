// Finds the headers that libtorch's NCCL process group includes. They do not come with libtorch: pip
// puts them beside it (nvidia-*), a CUDA toolkit has its own.
import { existsSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';

const needed = ['nccl.h', 'cuda_runtime_api.h', 'cublas_v2.h', 'cusparse.h', 'cusolverDn.h'];

function foldersIn(path) {
  return existsSync(path) ? readdirSync(path).map((name) => join(path, name)) : [];
}

/**
 * @param {import('./find-libtorch.mjs').Libtorch} libtorch
 * @returns {string[]} compiler flags; none if libtorch has no CUDA, or a header is missing
 */
export function ncclFlags(libtorch) {
  const [major] = libtorch.version.split('.').map(Number);
  if (!libtorch.cuda || major < 2) return [];
  // site-packages/torch/lib -> site-packages/nvidia. pip's come first: they are what libtorch was built with.
  const beside = join(dirname(dirname(libtorch.lib)), 'nvidia');
  const toolkits = foldersIn('/usr/local').filter((path) => /\/cuda[^/]*$/.test(path));
  const home = process.env.CUDA_HOME;
  const folders = [...foldersIn(beside), ...(home ? [home] : []), ...toolkits]
    .map((path) => join(path, 'include'))
    .concat('/usr/include');
  const found = needed.map((name) => folders.find((path) => existsSync(join(path, name))));
  if (found.includes(undefined)) return [];
  const paths = [...new Set(found)].filter((path) => path !== '/usr/include');
  return ['-DMAMBA_PRUNE_NCCL', ...paths.flatMap((path) => ['-isystem', path])];
}
