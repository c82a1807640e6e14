/** A training under way: its parts and where it stands. Shared by the loop, saving and resuming. */
import type { Tensor } from '@mamba-prune/libtorch';
import { existsSync } from 'node:fs';
import type { Dataset } from '../data/index.js';
import { findNotFinite } from './checkpoint.js';
import type { DataParallel } from './data-parallel/data-parallel.js';
import { TrainingDivergedError } from './errors.js';
import type { TrainHooks } from './hooks.js';
import type { EpochMetrics } from './metrics-lines.js';
import type { MetricsLog } from './metrics.js';
import type { RunFolder } from './run-folder.js';
import type { StepNumbers } from './step-context.js';
import { StepParts } from './step-parts.js';
import type { TrainControl } from './train-control.js';
import type { ResolvedTrainOptions } from './train-options.js';
import type { BestEpoch } from './train-result.js';
import type { StepPlace } from './train-step.js';
import type { Trainable } from './trainable.js';

export class Session extends StepParts {
  readonly phase: string;
  log: MetricsLog | undefined;

  // Where the training stands.
  /** Epochs done. */
  epoch = 0;
  /** Steps done of the epoch in progress. */
  batch = 0;
  /** Steps done in all. */
  steps = 0;
  /** Of the last step. */
  lr = 0;
  /** Epochs that were done when `endsWhen` ended the phase. */
  #endedAt: number | undefined;
  best: BestEpoch | null = null;
  last: EpochMetrics | null = null;
  /** Spent by earlier processes. */
  secondsBefore = 0;
  readonly #started = performance.now();

  readonly dataset: Dataset;
  readonly folder: RunFolder;
  readonly control: TrainControl;

  constructor(
    model: Trainable,
    dataset: Dataset,
    options: ResolvedTrainOptions,
    folder: RunFolder,
    hooks: TrainHooks,
    control: TrainControl,
    parallel?: DataParallel,
  ) {
    super(model, options, hooks, parallel);
    this.dataset = dataset;
    this.folder = folder;
    this.control = control;
    this.phase = control.phase ?? 'train';
  }

  /** Of the step that is next. */
  stepNumbers(place: StepPlace): StepNumbers {
    return { epoch: this.epoch, step: this.steps, lr: this.lr, ...place };
  }

  /** Exchanges the weights with their averages, if there are any; see `Ema.swap`. */
  swapAverages(): void {
    if (!this.ema) return;
    this.ema.swap();
    this.weightsChanged();
  }

  /** Runs `body` while the model has the averaged weights, if there are any; see `Ema.during`. */
  async withAverages<T>(body: () => Promise<T> | T): Promise<T> {
    if (!this.ema) return body();
    return this.ema.during(body, () => {
      this.weightsChanged();
    });
  }

  isAborted(): boolean {
    return (this.parallel ?? this.control).signal?.aborted === true;
  }

  /** Epochs of the training that are this phase's, and those before it. */
  get lastEpoch(): number {
    return this.#endedAt ?? this.control.untilEpoch ?? this.options.epochs;
  }

  /** Asks whether the phase ends here. @param epoch - epochs that are done, of which the model has the weights */
  askForEnd(epoch: number): void {
    if (this.control.endsWhen?.() === true) this.#endedAt = epoch;
  }

  /** Whether another phase goes on with this training. */
  get endsEarly(): boolean {
    return this.lastEpoch < this.options.epochs;
  }

  isFinished(): boolean {
    return this.epoch >= this.lastEpoch;
  }

  /** Whether the averages are the result: those of a training that ends early only go on. */
  get givesAverages(): boolean {
    return this.ema !== undefined && !this.endsEarly;
  }

  seconds(): number {
    return this.secondsBefore + (performance.now() - this.#started) / 1000;
  }

  /** Accuracy of the weights that are the result so far. */
  valAccuracy(): number | null {
    return (this.givesAverages ? this.last?.emaAccuracy : this.last?.valAccuracy) ?? null;
  }

  /** Facts by which a data set is recognised on resume. */
  dataFacts(): Record<string, unknown> {
    const { info, train, test } = this.dataset;
    return {
      name: info.name,
      shape: [info.channels, info.height, info.width],
      classes: info.classes.length,
      trainImages: train.length,
      testImages: test.length,
    };
  }

  /** @throws TrainingDivergedError naming the first tensor with a value that is not finite */
  checkFinite(tensors: ReadonlyMap<string, Tensor | Uint8Array>): void {
    const found = findNotFinite(tensors);
    if (found) this.fail(`tensor ${found.name}`, found.value);
  }

  /** @throws TrainingDivergedError */
  fail(quantity: string, value: number): never {
    const { lastCheckpoint } = this.folder;
    const checkpoint = existsSync(lastCheckpoint) ? lastCheckpoint : undefined;
    const { steps, epoch, lr } = this;
    throw new TrainingDivergedError(quantity, value, steps, epoch + 1, lr, checkpoint);
  }

  override dispose(): void {
    this.log?.close();
    super.dispose();
  }
}
