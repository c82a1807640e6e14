// How large a number may be where one is asked for: by the command line, by createModel and by the options
// of a training. Wide enough for everything that is done in earnest; what is within and still too much for
// the machine is found by counting (memory-need.ts).
import { availableParallelism } from 'node:os';
import { TooLargeError } from './errors.js';

/** Of the options of a model. */
export const modelLimits = {
  numClasses: 1_000_000,
  imageSize: 65_536,
  channels: 1024,
  patchSize: 65_536,
  dModel: 65_536,
  depth: 1000,
  dState: 65_536,
  dConv: 1024,
  expand: 1024,
  mlpRatio: 1024,
  heads: 65_536,
  baseWidth: 65_536,
} as const;

/**
 * A size in a model's description. More than an option may ask for: a width is a product (`expand` times `dModel`), or
 * comes from a file that another program wrote. No kernel goes beyond, and no memory.
 */
export const largestSize = 2 ** 20;

/** Stages of a ResNet: each doubles the width and halves the image. */
export const mostStages = 12;

/** Of the options of a training, and of what is counted like them. */
export const trainLimits = {
  epochs: 1_000_000,
  /** Images per step of all workers together. */
  batchSize: 65_536,
  /** Of a data set, or of a part of it. */
  images: 1_000_000_000,
  /** Between two lines or checkpoints. */
  steps: 1_000_000_000,
  /** Learning rates; float32 ends at 3e38. */
  lr: 1e6,
  /** Strengths of penalties, and norms. */
  strength: 1e9,
} as const;

/** Of data sets and their batches. */
export const dataLimits = {
  /** Side that images of a folder are brought to: beyond it a batch of them fits into no memory. */
  imageSize: 4096,
  /** Samples of a batch that is made on a device, whose kernel counts rows in 32 bits. */
  deviceBatch: 2 ** 24,
  workers: 2 ** 20,
} as const;

/** Of pruning. */
export const pruneLimits = {
  rounds: 1000,
  /** Of images that scores or statistics are taken from. */
  batches: 1_000_000,
  /** A multiple that widths are rounded up to. */
  width: 65_536,
  exponent: 1000,
  temperature: 1e6,
} as const;

export const benchLimits = { rounds: 100_000, roundMs: 3_600_000 } as const;

export const compareLimits = { seeds: 1000 } as const;

/** Processes or threads of one kind: some for each processor, and a few on the smallest machine. */
export const mostThreads = Math.max(64, 4 * availableParallelism());
export const mostProcesses = Math.max(16, 4 * availableParallelism());

/** @throws TooLargeError naming what is larger than its limit; other mistakes are found elsewhere */
export function checkLimits(
  where: string,
  values: Readonly<Record<string, unknown>>,
  limits: Readonly<Record<string, number>>,
): void {
  for (const [name, most] of Object.entries(limits)) {
    const value = values[name];
    if (typeof value !== 'number' || !(value > most)) continue;
    throw new TooLargeError(`${where}: ${name}: got ${value}, expected at most ${most}.`);
  }
}
