/** What a step knows of itself: its numbers, and the tensors that terms of the loss look at. */
import type { Tensor } from '@mamba-prune/libtorch';
import type { Trainable } from './trainable.js';

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
