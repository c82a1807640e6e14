/** The lines of metrics.jsonl that a training writes. */

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
