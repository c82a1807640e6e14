/** How a model is trained: all that decides the result, given and resolved. */
import type { AugmentOptions } from '../data/index.js';
import type { Precision } from '../precision.js';

export const optimizerNames = ['adamw', 'muon', 'sgd'] as const;
export type OptimizerName = (typeof optimizerNames)[number];

/** How a model is trained. All but `epochs` have defaults; `resolveTrainOptions` fills them in. */
export interface TrainOptions {
  epochs: number;
  /** Default 128. */
  batchSize?: number | undefined;
  /** Default adamw. */
  optimizer?: OptimizerName | undefined;
  /** Highest learning rate; default 1e-3 for adamw and muon, 0.1 for sgd. */
  lr?: number | undefined;
  /** Not applied to biases, norms and the like; default 0.05 for adamw and muon, 5e-4 for sgd. */
  weightDecay?: number | undefined;
  /** SGD only; default 0.9. */
  momentum?: number | undefined;
  /** SGD only; default false. */
  nesterov?: boolean | undefined;
  /** AdamW and Muon; default [0.9, 0.999]. */
  betas?: readonly [number, number] | undefined;
  /** The learning rate rises linearly over so many epochs (fractions allowed); default 0. */
  warmupEpochs?: number | undefined;
  /** Where the cosine ends, as a share of lr; default 0. */
  minLrFactor?: number | undefined;
  /** After the warm-up; default cosine. */
  schedule?: 'cosine' | 'constant' | 'multistep' | undefined;
  /** Multistep only: epochs (fractions allowed) after which the rate is multiplied by `gamma`. */
  milestones?: readonly number[] | undefined;
  /** Multistep only; default 0.1. */
  gamma?: number | undefined;
  /** Share of every target spread over all classes; default 0. */
  labelSmoothing?: number | undefined;
  /** Largest norm of all gradients together. By default not clipped. */
  clipGradNorm?: number | null | undefined;
  /** Keeps an exponential moving average of the weights, which then is the result. Off by default. */
  emaDecay?: number | null | undefined;
  /**
   * In what the forward and backward pass compute; weights, gradients, the optimizer and all that is
   * saved are float32 always. Default auto: bf16 on a GPU that has it, fp32 elsewhere.
   */
  precision?: Precision | undefined;
  /** Of the data order, augmentation and dropout; default 0. */
  seed?: number | undefined;
  /**
   * Number of the first epoch in the order of the data, which is a function of seed and epoch, as the
   * augmentation is: a training that follows another counts on, so that it does not see the images
   * as that one did. Default 0.
   */
  firstEpoch?: number | undefined;
  /** Options, or the name of a preset (none, standard, strong, imagenet, imagenet-strong); default none. */
  augment?: AugmentOptions | string | undefined;
  /**
   * The last so many epochs are trained without mixup and cutmix, on images nearer to those of the test;
   * default 0. If `epochs` grows on resume, they are the last of those.
   */
  plainEpochs?: number | undefined;
  /** As `augment`, in the plain epochs, its mixing left out; default: the same as before. */
  plainAugment?: AugmentOptions | string | undefined;
  /** Evaluates after every n-th epoch, and after the last; default 1. */
  evalEvery?: number | undefined;
  /** Default: batchSize, at least 256. */
  evalBatchSize?: number | undefined;
  /** Trains on so many images, evenly over the classes. All by default. */
  maxTrainImages?: number | null | undefined;
  /** Evaluates on so many images, evenly over the classes. All by default. */
  maxTestImages?: number | null | undefined;
  /** Checkpoints within an epoch, besides the one at its end; default every 10 minutes. */
  checkpointEvery?:
    { minutes?: number | null | undefined; steps?: number | null | undefined } | undefined;
  /** Writes a line on every n-th step to metrics.jsonl too. Off by default. */
  logEverySteps?: number | null | undefined;
}

/** Every option decided; plain JSON, stored in config.json and in checkpoints. */
export interface ResolvedTrainOptions {
  readonly epochs: number;
  readonly batchSize: number;
  readonly optimizer: OptimizerName;
  readonly lr: number;
  readonly weightDecay: number;
  readonly momentum: number;
  readonly nesterov: boolean;
  readonly betas: readonly [number, number];
  readonly warmupEpochs: number;
  readonly minLrFactor: number;
  readonly schedule: 'cosine' | 'constant' | 'multistep';
  /** These two are there under `multistep` alone. */
  readonly milestones?: readonly number[];
  readonly gamma?: number;
  readonly labelSmoothing: number;
  readonly clipGradNorm: number | null;
  readonly emaDecay: number | null;
  readonly seed: number;
  readonly augment: AugmentOptions;
  /** Left out where it is 0. */
  readonly plainEpochs?: number;
  /** Left out where it is as before. */
  readonly plainAugment?: AugmentOptions;
  readonly evalEvery: number;
  readonly evalBatchSize: number;
  readonly maxTrainImages: number | null;
  readonly maxTestImages: number | null;
  /** Left out where it is 0. */
  readonly firstEpoch?: number;
  /** Left out where it is auto. */
  readonly precision?: 'fp32' | 'bf16';
  readonly checkpointEvery: { readonly minutes: number | null; readonly steps: number | null };
  readonly logEverySteps: number | null;
}
