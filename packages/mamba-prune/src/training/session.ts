/** A training under way: its parts and where it stands. Shared by the loop, saving and resuming. */
import { optim, type Tensor } from '@mamba-prune/libtorch';
import { existsSync } from 'node:fs';
import type { Dataset, ImageDType } from '../data/index.js';
import { type ModelCopies, imageType, precisionOn, weightCopies } from '../models/precision.js';
import type { ComputePrecision } from '../precision.js';
import { findNotFinite } from './checkpoint.js';
import type { DataParallel } from './data-parallel/data-parallel.js';
import { Ema } from './ema.js';
import { TrainingDivergedError } from './errors.js';
import { deviceOf } from './evaluate.js';
import type { MetricsLog } from './metrics.js';
import type { RunFolder } from './run-folder.js';
import { RunningSums } from './running.js';
import { termNames } from './step-loss.js';
import type {
  BestEpoch,
  EpochMetrics,
  ResolvedTrainOptions,
  Trainable,
  TrainControl,
  TrainHooks,
} from './types.js';

export class Session {
  readonly device: string;
  readonly phase: string;
  readonly precision: ComputePrecision;
  /** That the model computes in. */
  readonly imageType: ImageDType;
  readonly #copies: ModelCopies | undefined;
  /** A teacher's weights never change. */
  readonly #teacherCopies: ModelCopies | undefined;
  readonly optimizer: optim.Optimizer;
  readonly ema: Ema | undefined;
  readonly sums: RunningSums;
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
  best: BestEpoch | null = null;
  last: EpochMetrics | null = null;
  /** Spent by earlier processes. */
  secondsBefore = 0;
  readonly #started = performance.now();

  constructor(
    readonly model: Trainable,
    readonly dataset: Dataset,
    readonly options: ResolvedTrainOptions,
    readonly folder: RunFolder,
    readonly hooks: TrainHooks,
    readonly control: TrainControl,
    /** The other workers, if there are any. */
    readonly parallel?: DataParallel,
  ) {
    this.device = deviceOf(model);
    this.precision = precisionOn(this.device, options.precision);
    this.imageType = imageType(this.precision);
    this.#copies = weightCopies(model, this.precision);
    const teacher = hooks.distillation?.teacher;
    this.#teacherCopies = teacher && weightCopies(teacher, this.precision, { fixed: true });
    this.phase = control.phase ?? 'train';
    this.optimizer = makeOptimizer(model, options);
    this.ema = options.emaDecay === null ? undefined : new Ema(model, options.emaDecay);
    this.sums = new RunningSums(termNames(hooks, options), this.device, parallel?.reduce);
    parallel?.attach(model);
  }

  /** To be called after every change of the model's weights: those it computes with follow. */
  weightsChanged(): void {
    this.#copies?.refresh();
  }

  /** Exchanges the weights with their averages, if there are any; see `Ema.swap`. */
  swapAverages(): void {
    if (!this.ema) return;
    this.ema.swap();
    this.weightsChanged();
  }

  /** Runs `body` while the model has the averaged weights. */
  async withAverages<T>(body: () => Promise<T> | T): Promise<T> {
    this.swapAverages();
    try {
      return await body();
    } finally {
      this.swapAverages();
    }
  }

  isAborted(): boolean {
    return (this.parallel ?? this.control).signal?.aborted === true;
  }

  /** Epochs of the training that are this phase's, and those before it. */
  get lastEpoch(): number {
    return this.control.untilEpoch ?? this.options.epochs;
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

  close(): void {
    this.log?.close();
    this.parallel?.dispose();
    this.sums.dispose();
    this.optimizer.dispose();
    this.ema?.dispose();
    this.#copies?.dispose();
    this.#teacherCopies?.dispose();
  }
}

export function makeOptimizer(model: Trainable, options: ResolvedTrainOptions): optim.Optimizer {
  const { lr, weightDecay, betas, momentum, nesterov } = options;
  if (options.optimizer === 'muon') {
    return new optim.Muon(optim.muonGroups(model, weightDecay), { lr, betas });
  }
  const groups = optim.decayGroups(model, weightDecay);
  return options.optimizer === 'adamw'
    ? new optim.AdamW(groups, { lr, betas })
    : new optim.SGD(groups, { lr, momentum, nesterov });
}
