// How many runs fit on this machine at once.
import { availableParallelism } from 'node:os';
import type { ImageModel } from '../../models/image-model.js';

const MiB = 2 ** 20;

/** Node.js, libtorch and its buffers. */
const processBytes = 350 * MiB;

/**
 * Multiply-accumulates for each number that a training step keeps. Measured were 45 (resnet20) to 260
 * (resnet18), mamba_tiny 50 and mamba_small 120; small models have fewer, which `processBytes` covers.
 * So the estimate errs towards fewer runs at once.
 */
const macsPerActivation = 40;

/**
 * Memory that the training of a dense model takes, about.
 * @param images - bytes of the data set as it is kept in memory
 */
export function trainingBytes(model: ImageModel, batchSize: number, images: number): number {
  const macs = model.macs().reduce((sum, entry) => sum + entry.macs, 0);
  // Weights, gradients, two moments, an average, and a copy while files are written.
  const weights = 6 * 4 * model.numParameters();
  return processBytes + images + weights + (4 * batchSize * macs) / macsPerActivation;
}

export interface Machine {
  readonly cores: number;
  /** That processes may still take. */
  readonly freeBytes: number;
}

export function thisMachine(): Machine {
  return { cores: availableParallelism(), freeBytes: process.availableMemory() };
}

export interface Division {
  /** Runs at once. */
  readonly jobs: number;
  /** Threads of each. */
  readonly threads: number;
  /** Why not more, for people. */
  readonly reason: string;
}

/**
 * As many runs at once as there are cores and memory for: two runs with a thread each do more than one
 * with two. A fifth of the memory stays free.
 *
 * @param bytes - of one run
 * @param runs - that could go on side by side
 */
export function divideMachine(
  { cores, freeBytes }: Machine,
  bytes: number,
  runs: number,
): Division {
  const fitting = Math.floor((0.8 * freeBytes) / bytes);
  const jobs = Math.max(1, Math.min(cores, fitting, runs));
  const gib = (value: number): string => `${(value / 2 ** 30).toFixed(1)} GiB`;
  const reason =
    fitting < Math.min(cores, runs)
      ? `${gib(freeBytes)} of free memory, about ${gib(bytes)} for a run`
      : runs < cores
        ? runs === 1
          ? 'no two of the runs can go on side by side'
          : `${runs} runs that do not wait for each other`
        : `${cores} cores`;
  return { jobs, threads: Math.max(1, Math.floor(cores / jobs)), reason };
}
