/** Where other code gets a say in a training: terms of the loss, a teacher, callbacks, state of its own. */
import type { Tensor } from '@mamba-prune/libtorch';
import type { EpochMetrics } from './metrics-lines.js';
import type { StepContext } from './step-context.js';
import type { Trainable } from './trainable.js';

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
  /**
   * What the teacher is shown in place of the images [batch, channels, height, width], such as these normalised by other
   * means. It must compute the same in every step.
   */
  readonly images?: ((images: Tensor) => Tensor) | undefined;
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

/** Where other code gets a say in a training. None of it but `state` is stored: give the same again on resume. */
export interface TrainHooks {
  /** Where it gives a promise, the next step waits for it; anything else is passed over. */
  onStep?: ((info: StepInfo) => unknown) | undefined;
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
