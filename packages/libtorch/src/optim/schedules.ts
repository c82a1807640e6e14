// Learning rates over the steps of a training.
import { type OptionKind, type OptionKinds, checkOptions } from '../check-options.js';

/**
 * A learning rate schedule: a factor on the base rate, from the number of the step (0 is the first)
 * and the length of the training. Without state, so a resumed run needs nothing but its step.
 */
export type Schedule = (step: number, totalSteps: number) => number;

export interface WarmupOptions {
  /** Steps in which the factor rises evenly to 1. Default `0`. */
  readonly warmupSteps?: number;
  /** The factor at the end. Default `0`. */
  readonly minFactor?: number;
  /** Where the end is. Default: the length of the training. */
  readonly totalSteps?: number;
}

const warmupKinds: OptionKinds<WarmupOptions> = {
  warmupSteps: 'number',
  minFactor: 'number',
  totalSteps: 'number',
};

/** Warm-up, then what `shape` makes of the progress from 0 to 1: a value from 1 down to 0. */
function decaying(
  name: string,
  options: WarmupOptions,
  shape: (progress: number) => number,
  known: Readonly<Record<string, OptionKind>> = warmupKinds,
): Schedule {
  checkOptions(name, options, known);
  const { warmupSteps = 0, minFactor = 0 } = options;
  return (step, totalSteps) => {
    if (step < warmupSteps) return (step + 1) / warmupSteps;
    const end = options.totalSteps ?? totalSteps;
    const progress = end > warmupSteps ? (step - warmupSteps) / (end - warmupSteps) : 1;
    return minFactor + (1 - minFactor) * shape(Math.min(Math.max(progress, 0), 1));
  };
}

/** Half a cosine from 1 to minFactor after the warm-up (Loshchilov and Hutter 2017, no restarts). */
export function warmupCosine(options: WarmupOptions = {}): Schedule {
  return decaying('warmupCosine', options, (progress) => (1 + Math.cos(Math.PI * progress)) / 2);
}

/** A straight line from 1 to minFactor after the warm-up. */
export function linear(options: WarmupOptions = {}): Schedule {
  return decaying('linear', options, (progress) => 1 - progress);
}

/** 1 throughout, after the warm-up. */
export function constant(options: Pick<WarmupOptions, 'warmupSteps'> = {}): Schedule {
  return decaying('constant', options, () => 1, { warmupSteps: 'number' });
}

export interface MultiStepOptions {
  /** Steps from which on the rate is smaller, in any order. */
  readonly milestones: readonly number[];
  /** By this factor at each. Default `0.1`. */
  readonly gamma?: number;
}

/** Divides the rate at milestones, as ResNets are trained. */
export function multiStep(options: MultiStepOptions): Schedule {
  checkOptions('multiStep', options, { milestones: 'array', gamma: 'number' });
  const { milestones, gamma = 0.1 } = options;
  return (step) => gamma ** milestones.filter((milestone) => step >= milestone).length;
}
