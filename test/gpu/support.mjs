// What the tests on a GPU share. They run with node's own test runner, which a server without npm has; run.mjs runs them all.
import { cudaDeviceCount } from '@mamba-prune/libtorch';

export const gpu = 'cuda:0';
export const skip = cudaDeviceCount() === 0 ? 'no GPU that libtorch can use' : false;

/** Relative distance of two tensors in the Euclidean norm, computed in float64 on the CPU; NaN never passes. */
export function distance(got, expected) {
  const [a, b] = [got, expected].map((tensor) => tensor.detach().to('cpu').to('float64'));
  return a.sub(b).norm().item() / (b.norm().item() || 1);
}
