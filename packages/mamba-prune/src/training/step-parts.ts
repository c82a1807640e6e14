/** What a training step works on: the model and what it computes in, the optimizer, averages and sums. */
import { optim, type Tensor } from '@mamba-prune/libtorch';
import type { ImageDType } from '../data/index.js';
import { type ModelCopies, imageType, precisionOn, weightCopies } from '../models/precision.js';
import type { ComputePrecision } from '../precision.js';
import type { DataParallel } from './data-parallel/data-parallel.js';
import { Ema } from './ema.js';
import { deviceOf } from './evaluate.js';
import type { TrainHooks } from './hooks.js';
import { RunningSums } from './running.js';
import { termNames } from './step-loss.js';
import type { ResolvedTrainOptions } from './train-options.js';
import type { Trainable } from './trainable.js';

export class StepParts {
  readonly device: string;
  readonly precision: ComputePrecision;
  /** That the model computes in. */
  readonly imageType: ImageDType;
  readonly parameters: readonly Tensor[];
  readonly optimizer: optim.Optimizer;
  readonly ema: Ema | undefined;
  readonly sums: RunningSums;
  readonly #copies: ModelCopies | undefined;
  readonly #owned: { dispose(): void }[] = [];

  readonly model: Trainable;
  readonly options: ResolvedTrainOptions;
  readonly hooks: TrainHooks;
  /** The other workers, if there are any. */
  readonly parallel?: DataParallel | undefined;

  constructor(
    model: Trainable,
    options: ResolvedTrainOptions,
    hooks: TrainHooks,
    parallel?: DataParallel,
  ) {
    this.model = model;
    this.options = options;
    this.hooks = hooks;
    this.parallel = parallel;
    this.device = deviceOf(model);
    this.precision = precisionOn(this.device, options.precision);
    this.imageType = imageType(this.precision);
    this.parameters = model.parameters();
    const terms = termNames(hooks, options);
    const teacher = hooks.distillation?.teacher;
    try {
      this.#copies = this.#own(weightCopies(model, this.precision));
      // A teacher's weights never change.
      if (teacher) this.#own(weightCopies(teacher, this.precision, { fixed: true }));
      this.optimizer = this.#own(makeOptimizer(model, options));
      this.ema =
        options.emaDecay === null ? undefined : this.#own(new Ema(model, options.emaDecay));
      this.sums = this.#own(new RunningSums(terms, this.device, parallel?.reduce));
      parallel?.attach(model);
    } catch (error) {
      // There may be memory for some of them alone.
      this.#free();
      throw error;
    }
  }

  /** To be called after every change of the model's weights: those it computes with follow. */
  weightsChanged(): void {
    this.#copies?.refresh();
  }

  dispose(): void {
    this.parallel?.dispose();
    this.#free();
  }

  #own<T extends { dispose(): void } | undefined>(part: T): T {
    if (part) this.#owned.push(part);
    return part;
  }

  #free(): void {
    for (const part of this.#owned.splice(0).reverse()) part.dispose();
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
