/** The words that the pieces of training share: options, what hooks see, what comes out. */
import type { GraphBackend, Tensor, distributed, nn } from '@mamba-prune/libtorch';
import type { AugmentOptions } from '../data/index.js';
import type { Precision } from '../precision.js';

/** Anything that can be trained: from images [batch, channels, height, width] to logits [batch, classes]. */
export type Trainable = nn.Module & { forward(images: Tensor): Tensor };

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

/** What differs between steps. */
export interface StepNumbers {
  /** Counted from 0. */
  readonly epoch: number;
  /** Steps done since the training began, over all epochs. */
  readonly step: number;
  readonly totalSteps: number;
  readonly stepsPerEpoch: number;
  /** Epochs done, with fractions: step / steps per epoch. */
  readonly progress: number;
  readonly lr: number;
}

/** What a loss term may look at. The tensors belong to the step: they are freed when it ends. */
export interface StepContext extends StepNumbers {
  readonly model: Trainable;
  /** [batch, channels, height, width], in the type that the model computes in */
  readonly images: Tensor;
  /** Class numbers, int64 [batch]. */
  readonly labels: Tensor;
  /** [batch, classes], given if mixup or cutmix is on; one-hot in plain epochs. */
  readonly targets: Tensor | undefined;
  /** [batch, classes], float32 */
  readonly logits: Tensor;
  /**
   * A number of this step on the model's device, float32 and 0-d; the step's, and not to be changed. A step
   * that is replayed (`TrainHooks.replayable`) repeats what was recorded: numbers that JavaScript computed
   * stay what they were, while these are computed anew before each step: the same function of the numbers
   * every time, asked for in the same order.
   */
  readonly scalar: (value: (numbers: StepNumbers) => number) => Tensor;
}

/** Something added to the loss of every step: a regulariser, say. */
export interface LossTerm {
  /** Its mean over the epoch stands under this name in the metrics, `terms`. */
  readonly name: string;
  /** A 0-d tensor, weighted as it should count; undefined where there is nothing to add. */
  compute(context: StepContext): Tensor | undefined;
  /**
   * For a term whose `compute` gives a constant because its gradient is known without autograd: adds
   * it to the parameters' gradients. Called after these have been clipped, so that however hard the
   * term pulls, the task's share of a step stays the same.
   */
  addGradient?(context: StepContext): void;
}

/** Knowledge distillation (Hinton et al. 2015, arXiv 1503.02531). */
export interface Distillation {
  /** Another model, put into evaluation mode; it must take the same images and have the same classes. */
  readonly teacher: Trainable;
  /** Share of the teacher in the loss, 0 to 1. */
  readonly weight: number;
  /** Softens both outputs; the term is multiplied by its square. Default 1. */
  readonly temperature?: number;
}

export interface StepInfo {
  /** Counted from 1. */
  readonly epoch: number;
  readonly epochs: number;
  /** Within the epoch, counted from 1. */
  readonly step: number;
  readonly stepsPerEpoch: number;
  /** Of this step on the CPU; of the last read on a GPU, where reading every step would stall it. */
  readonly loss: number;
  readonly lr: number;
  /** Over the last second or so, evaluation left out. */
  readonly imagesPerSecond: number;
}

/** One line of metrics.jsonl per epoch. Numbers of 0..1 for accuracies, seconds for times. */
export interface EpochMetrics {
  readonly type: 'epoch';
  readonly phase: string;
  /** Epochs done, so the first line says 1. */
  readonly epoch: number;
  /** Steps done. */
  readonly step: number;
  /** Mean training loss over the epoch, all terms together. */
  readonly loss: number;
  /** Of the augmented images, while the weights change. */
  readonly trainAccuracy: number;
  /** Without label smoothing; null in epochs that are not evaluated. */
  readonly valLoss: number | null;
  readonly valAccuracy: number | null;
  /** Share of images whose class is among the five likeliest; null below six classes. */
  readonly valTop5: number | null;
  /** The same of the averaged weights, if there are any. */
  readonly emaLoss?: number | null;
  readonly emaAccuracy?: number | null;
  /** Mean of each loss term. */
  readonly terms?: Readonly<Record<string, number>>;
  /** Mean norm of the gradients before clipping, if they are clipped. */
  readonly gradNorm?: number;
  /** On a GPU: `replayed` if the steps were replayed as one graph, or else why not. */
  readonly graph?: string;
  /** On a GPU: `device` if the training images lay in its memory, or else why not. */
  readonly data?: string;
  /** In the epochs at the end without mixing (`plainEpochs`): `trainAccuracy` is of easier images there. */
  readonly plain?: true;
  /** Of the epoch's last step. */
  readonly lr: number;
  readonly imagesPerSecond: number;
  /** Spent training and evaluating since the start, interruptions left out. */
  readonly seconds: number;
  /** What `hooks.epochMetrics` gave. */
  readonly [extra: string]: unknown;
}

/** A line of metrics.jsonl within an epoch (`logEverySteps`). */
export interface StepMetrics {
  readonly type: 'step';
  readonly phase: string;
  readonly epoch: number;
  readonly step: number;
  readonly loss: number;
  readonly lr: number;
}

/** Where other code gets a say in a training. None of it but `state` is stored: give the same again on resume. */
export interface TrainHooks {
  onStep?: ((info: StepInfo) => void) | undefined;
  /** After the epoch's line and checkpoint are on the disk. */
  onEpoch?: ((metrics: EpochMetrics) => void | Promise<void>) | undefined;
  /** How far an evaluation is. */
  onEvaluate?: ((done: number, total: number) => void) | undefined;
  onCheckpoint?: ((path: string) => void) | undefined;
  /** A line of text about something the user should know. */
  onNote?: ((note: string) => void) | undefined;
  /** Instead of cross-entropy with label smoothing: the main loss, a 0-d tensor. */
  taskLoss?: ((context: StepContext) => Tensor) | undefined;
  /** Added to the main loss. */
  extraLosses?: readonly LossTerm[] | undefined;
  distillation?: Distillation | undefined;
  /** After every optimizer step, without gradients: masks are put back here, say. */
  afterStep?: ((context: StepContext) => void) | undefined;
  /** What `afterStep` and the others carry from step to step beside the weights. */
  state?: HookState | undefined;
  /**
   * Whether `taskLoss`, `extraLosses` and `afterStep` do the same work in every step, read nothing from
   * the device, and take every number that changes from `StepContext.scalar`: only then can a GPU be
   * given the steps as one graph. Default false, which matters only where there is one of these.
   */
  replayable?: boolean | undefined;
  /**
   * Further entries for the epoch's line: distribution of unit norms, say. Must be JSON.
   * @param epoch - counted from 1
   */
  epochMetrics?: ((epoch: number, epochs: number) => Record<string, unknown>) | undefined;
  /** Writes a model file (saveModel of models/). By default parameters and buffers alone. */
  saveModel?: ((path: string, model: Trainable, made: SavedModelInfo) => void) | undefined;
}

/** Part of the state of a training that hooks have: checkpoints hold it as they hold the optimizer's. */
export interface HookState {
  /** By name, the same names and shapes for the same hooks. They are written in place from a checkpoint. */
  readonly tensors: ReadonlyMap<string, Tensor>;
  /**
   * Called once before the first step: the model has the weights that the training begins or goes on with, and `tensors` what
   * the checkpoint holds, if the training goes on from one of the same phase that has them.
   */
  readonly begin: () => void;
}

/** What a model file is saved with: goes into its history. */
export interface SavedModelInfo {
  readonly phase: string;
  readonly epoch: number;
  readonly weights: 'model' | 'ema';
  /** Of these weights; null if they were not evaluated. */
  readonly valAccuracy: number | null;
}

/** How a training is run; nothing here changes its result. */
export interface TrainControl {
  /** Stops after the step in progress, with a checkpoint. */
  signal?: AbortSignal | undefined;
  /**
   * true: go on from the run's last checkpoint. 'previous': if that is damaged, from the one before.
   * A run that was killed before its first checkpoint begins. Default false, which refuses a run that has
   * begun.
   */
  resume?: boolean | 'previous' | undefined;
  /**
   * With `resume`: begins anew if no checkpoint of a run that has begun can be read, the previous one
   * neither; what is left of them is kept in checkpoints/lost. Default false, which throws a CheckpointError.
   */
  restart?: boolean | undefined;
  /** Name of this training within a run of several (rounds); default 'train'. */
  phase?: string | undefined;
  /**
   * Ends after so many of the epochs, as the first part of the training that the options describe: with the
   * weights as they are, not their averages, and without a model file. Another phase goes on from the last
   * checkpoint (`continues`). Default: all epochs.
   */
  untilEpoch?: number | undefined;
  /**
   * Ends the phase after the first epoch at whose end this says so, as `untilEpoch` does; never later than that. Asked
   * with the weights of the epoch's end, before they are evaluated, and once more where the phase goes on from there:
   * it must say the same of the same weights.
   */
  endsWhen?: (() => boolean) | undefined;
  /** The rest of a training whose first part was another phase. */
  continues?: Continuation | undefined;
  /** JSON kept in the checkpoint (`readCheckpointInfo`): what is needed to build the model again. */
  extra?: unknown;
  /** Threads that prepare batches; default 0. */
  dataThreads?: number | undefined;
  /**
   * Trains with the other workers of this group, each on its share of every batch. All of them call
   * `train` with the same model, data and options; rank 0 alone writes, the others give a run that
   * `RunFolder.follow` made. The group stays the caller's to close, or to `fail` after an error.
   */
  group?: distributed.ProcessGroup | undefined;
  /**
   * Seconds after a checkpoint in which the end of an epoch writes no other one; default 20 for one worker on a GPU,
   * whose epochs may be shorter than that, else 0. The last epoch's, and one when it is stopped, are written always.
   */
  epochSaveSeconds?: number | undefined;
  /** Whether a GPU may be given the steps as one graph; default true. */
  graph?: boolean | undefined;
  /**
   * Whether batches are made on the model's device, from images that lie there where they fit; default:
   * on a GPU. Its random crops, flips and mixes are other ones than those of the host.
   */
  deviceData?: boolean | undefined;
  /** @internal Captures in place of the addon: for tests, which have no GPU. */
  graphBackend?: GraphBackend | undefined;
}

/**
 * Goes on where another phase ended (`TrainControl.untilEpoch`): at its epoch and step, with the optimizer's
 * state, the averages and the random generators of its last checkpoint. The options are those of both.
 * The model may have been cut in between; its weights are taken as they are.
 */
export interface Continuation {
  /** Name of that phase. */
  readonly phase: string;
  /**
   * What is left of a tensor that has the shape which a parameter had in that phase: its moments, its average.
   * By default the tensor itself.
   * @param parameter - its name
   */
  readonly cut?: ((parameter: string, tensor: Tensor) => Tensor) | undefined;
  /**
   * Whether what the weights got since that phase, beyond the cut, is added to their averages too. Default `false`: the
   * averages go on from where they were.
   */
  readonly averagesFollow?: boolean | undefined;
}

export interface TrainResult {
  /** False if the signal stopped it: resume to go on. */
  readonly finished: boolean;
  /** Epochs done. */
  readonly epochs: number;
  readonly steps: number;
  /** The last epoch's line; undefined if none is done. */
  readonly last: EpochMetrics | undefined;
  readonly best: BestEpoch | undefined;
  /** Which weights the model has now and model.safetensors holds, where the training did not end early (`untilEpoch`). */
  readonly weights: 'model' | 'ema';
  /** Of those weights; null if nothing was evaluated. */
  readonly valAccuracy: number | null;
  readonly seconds: number;
  /** The finished model, or the checkpoint to resume from. */
  readonly path: string;
}

export interface BestEpoch {
  readonly epoch: number;
  readonly accuracy: number;
}
