// Loaded by commands that compute, and only when they do: help works without libtorch.
import {
  F,
  cudaDeviceCount,
  manualSeed,
  noGrad,
  ones,
  scope,
  setNumThreads,
} from '@mamba-prune/libtorch';
import { UsageError } from '../errors.js';
import type { CommonOptions } from './options/common.js';

/**
 * Sets threads and seed, and finds the device.
 * @returns `cpu`, or `cuda:N`
 * @throws UsageError for a GPU that is not there
 */
export function prepareDevice(options: CommonOptions, onNote: (note: string) => void): string {
  if (options.threads !== undefined) setNumThreads(options.threads);
  manualSeed(options.seed);
  return chooseDevice(options.device, onNote);
}

export function chooseDevice(name: string, onNote: (note: string) => void): string {
  if (name === 'cpu') return name;
  const count = cudaDeviceCount();
  if (name === 'auto') {
    if (count === 0) return 'cpu';
    const problem = cudaProblem();
    if (problem === undefined) return 'cuda:0';
    onNote(`The GPU cannot run the models (${problem}); computing on the CPU.`);
    return 'cpu';
  }
  const index = name === 'cuda' ? 0 : Number(name.slice('cuda:'.length));
  if (index >= count) {
    throw new UsageError(
      count === 0
        ? `--device: got ${name}, but the libtorch in use sees no GPU. Use --device cpu, or point LIBTORCH to one with CUDA.`
        : `--device: got ${name}, expected cuda:0${count > 1 ? ` to cuda:${count - 1}` : ''}.`,
    );
  }
  return `cuda:${index}`;
}

/**
 * The device of one of several workers: the GPU of its local rank, or the only one that it sees.
 * @throws UsageError for a GPU that is not there, or one that all workers would share
 */
export function chooseWorkerDevice(
  name: string,
  localRank: number,
  onNote: (note: string) => void,
): string {
  if (name.startsWith('cuda:')) {
    throw new UsageError(
      `--device: got ${name} for several workers, expected cuda: each takes a GPU of its own. ` +
        'CUDA_VISIBLE_DEVICES chooses which.',
    );
  }
  const device = chooseDevice(name, onNote);
  if (device === 'cpu' || cudaDeviceCount() === 1) return device;
  return chooseDevice(`cuda:${localRank}`, onNote);
}

/** A scan of one position tells whether all kernels are there. */
function cudaProblem(): string | undefined {
  try {
    scope(() =>
      noGrad(() => {
        const x = ones([1, 1, 1], { device: 'cuda:0' });
        const a = ones([1, 1], { device: 'cuda:0' });
        return F.selectiveScan(x, x, a, x, x, {}).y.to('cpu').item();
      }),
    );
    return undefined;
  } catch (error) {
    return (error as Error).message.split('\n')[0];
  }
}
