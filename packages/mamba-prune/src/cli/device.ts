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
import { isOutOfMemory } from '../memory.js';
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

/** What is known of the GPUs, which tests stand in for. */
interface Gpus {
  readonly count: () => number;
  /** What the first throws when a kernel of ours is run on it. */
  readonly problem: () => unknown;
}

/**
 * @throws UsageError for a GPU that is not there, and under `auto` for one that has no memory left: whoever waits for it would
 *   rather wait than compute on the CPU, which takes a hundred times as long
 */
export function chooseDevice(
  name: string,
  onNote: (note: string) => void,
  gpus: Gpus = { count: cudaDeviceCount, problem: cudaProblem },
): string {
  if (name === 'cpu') return name;
  const count = gpus.count();
  if (name === 'auto') {
    if (count === 0) return 'cpu';
    const problem = gpus.problem();
    if (problem === undefined) return 'cuda:0';
    if (isOutOfMemory(problem)) {
      throw new UsageError(
        '--device: got auto, but no memory is left on the GPU. See by nvidia-smi who uses it and wait for them, ' +
          'choose another by --device cuda:N, or compute on the CPU by --device cpu, which takes far longer.',
      );
    }
    const [reason] = (problem as Error).message.split('\n');
    onNote(`The GPU cannot run the models (${reason}); computing on the CPU.`);
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
function cudaProblem(): unknown {
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
    return error;
  }
}
