/** Errors of training that a caller may want to tell apart. */
import type { LockedError } from '../files/lock.js';

/** The loss, a gradient or a weight is not a number any more. Nothing of it was saved. */
export class TrainingDivergedError extends Error {
  override readonly name = 'TrainingDivergedError';

  /** What is not finite: 'loss', 'gradient norm' or the name of a tensor. */
  readonly quantity: string;
  readonly value: number;
  /** Steps done before the one that failed. */
  readonly step: number;
  /** Counted from 1. */
  readonly epoch: number;
  readonly lr: number;
  /** The last good checkpoint; undefined if the model was not finite from the start. */
  readonly checkpoint: string | undefined;

  constructor(
    quantity: string,
    value: number,
    step: number,
    epoch: number,
    lr: number,
    checkpoint: string | undefined,
  ) {
    super(
      `train: the ${quantity} became ${value} at step ${step + 1} (epoch ${epoch}, learning rate ` +
        `${Number(lr.toPrecision(4))}), expected a finite number. Nothing of this step was saved; ` +
        (checkpoint === undefined
          ? 'there is no checkpoint yet. Check the weights that the model began with.'
          : `the last good checkpoint is ${checkpoint}. Start again with a lower learning rate, a longer ` +
            'warm-up or gradient clipping.'),
    );
    this.quantity = quantity;
    this.value = value;
    this.step = step;
    this.epoch = epoch;
    this.lr = lr;
    this.checkpoint = checkpoint;
  }
}

/** A checkpoint is damaged, or is one of another model or training. */
export class CheckpointError extends Error {
  override readonly name = 'CheckpointError';

  readonly path: string;

  constructor(path: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.path = path;
  }
}

/** A run folder cannot be used: it is taken, locked, unwritable or not a run. */
export class RunFolderError extends Error {
  override readonly name = 'RunFolderError';
  /** Whether another folder was to be named: see `isUsageError`. */
  readonly isUsage: boolean;

  readonly path: string;

  constructor(
    path: string,
    message: string,
    { isUsage = false, ...options }: ErrorOptions & { readonly isUsage?: boolean } = {},
  ) {
    super(message, options);
    this.path = path;
    this.isUsage = isUsage;
  }
}

/** Of a folder whose lock is held. */
export const lockedFolder = (error: LockedError): RunFolderError =>
  new RunFolderError(error.path, error.message, { cause: error });

/** A run, or a comparison, was stopped before it had done anything. What it was to replace is there again. */
export class StoppedAtStartError extends Error {
  override readonly name = 'StoppedAtStartError';

  readonly path: string;

  constructor(path: string) {
    super(`Stopped before anything was done: ${path} is as it was before.`);
    this.path = path;
  }
}

/** Options on resume are not those that the run began with. */
export class ResumeError extends Error {
  override readonly name = 'ResumeError';
  /** See `isUsageError`. */
  readonly isUsage = true;

  /** Names of the options that differ. */
  readonly options: readonly string[];

  constructor(options: readonly string[], message: string) {
    super(message);
    this.options = options;
  }
}
