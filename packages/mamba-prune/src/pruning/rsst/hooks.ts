/** RSST as a part of training: a term of the loss, or what follows each step. */
import { type Tensor, type nn, scope } from '@mamba-prune/libtorch';
import type { PruningGroup } from '../../models/groups.js';
import type { ImageModel } from '../../models/image-model.js';
import type { LossTerm, TrainHooks } from '../../training/hooks.js';
import type { StepContext } from '../../training/step-context.js';
import { NormShares } from './norm-shares.js';
import { regularizedGroups } from './regularizer.js';
import { Rsst, type RsstOptions } from './rsst.js';
import { summarizeUnitNorms } from './unit-norms.js';
import { sliceGroups } from './unit-slices.js';

/**
 * λ R as a term of the loss. `compute` gives its value as a constant, `addGradient` the gradient; the
 * mean over an epoch stands in the metrics as `terms.rsst`, beside `terms.task`.
 */
export class RsstTerm implements LossTerm {
  readonly name = 'rsst';
  readonly #rsst: Rsst;
  #lambda: Tensor | undefined;
  #norms: Tensor[] = [];

  constructor(rsst: Rsst) {
    this.#rsst = rsst;
  }

  compute({ scalar }: StepContext): Tensor {
    const lambda = scalar((numbers) => this.#rsst.lambdaAt(numbers));
    this.#lambda = lambda;
    this.#norms = this.#rsst.norms();
    return this.#rsst.value(this.#norms).mul(lambda);
  }

  addGradient(): void {
    if (this.#lambda) this.#rsst.addGradient(this.#lambda, this.#norms);
    this.#lambda = undefined;
    this.#norms = [];
  }
}

export interface RsstHooks extends Pick<
  TrainHooks,
  'extraLosses' | 'afterStep' | 'epochMetrics' | 'replayable' | 'state'
> {
  /** Whether all units that are regularised are zero now; for `TrainControl.endsWhen`. */
  readonly isAtZero: () => boolean;
}

/**
 * What a regularised training needs of RSST. Every epoch's line has `rsst: { lambda, value }`, with λ
 * and R (without λ) at the epoch's end, and `unitNorms`. Give the same again on resume.
 *
 * Where a norm of the model takes mean and variance over the units (`ImageModel.normOver`), a doomed unit counts in it as much
 * as is left of the unit. The norm goes on like that after the training; `pruneModel` makes a model with a plain one.
 * @throws UsageError for options out of range, or that do not fit the groups
 */
export function rsstHooks(
  model: nn.Module & Pick<ImageModel, 'normOver'>,
  groups: readonly PruningGroup[],
  options: RsstOptions,
): RsstHooks {
  const rsst = new Rsst(model, groups, options);
  const shares = normShares(model, groups, options);
  const epochMetrics = (epoch: number, epochs: number) => ({
    rsst: {
      lambda: rsst.lambdaAfter(epoch, epochs),
      value: scope(() => rsst.value(rsst.norms()).item()),
    },
    unitNorms: summarizeUnitNorms(model, groups, options),
  });
  const { extraLosses, shrink } = application(rsst, options);
  const afterStep = (context: StepContext): void => {
    shrink?.(context);
    shares?.update();
  };
  return {
    replayable: true,
    epochMetrics,
    isAtZero: () => rsst.isAtZero(),
    ...(extraLosses && { extraLosses }),
    ...((shrink ?? shares) && { afterStep }),
    ...(shares && { state: shares }),
  };
}

/** How λ R comes to the weights: as terms of the loss, or after each step. */
function application(
  rsst: Rsst,
  { apply = 'loss' }: RsstOptions,
): Pick<TrainHooks, 'extraLosses'> & { readonly shrink?: NonNullable<TrainHooks['afterStep']> } {
  switch (apply) {
    case 'loss':
      return { extraLosses: [new RsstTerm(rsst)] };
    case 'proximal':
      return {
        shrink: ({ scalar }) => {
          rsst.pull(scalar((numbers) => numbers.lr * rsst.lambdaAt(numbers)));
        },
      };
    case 'shrink':
      return {
        shrink: ({ scalar }) => {
          rsst.shrink(scalar((numbers) => rsst.shrinkAt(numbers)));
        },
      };
  }
}

/** Undefined where no norm is over the units, or where all are regularised: which of them will go is not known then. */
function normShares(
  model: nn.Module & Pick<ImageModel, 'normOver'>,
  groups: readonly PruningGroup[],
  { norm, targets, units }: RsstOptions,
): NormShares | undefined {
  if (!units) return undefined;
  // All groups of the targets: another choice of units, in a later part of the training, may be of others.
  const slices = sliceGroups(model, regularizedGroups(groups, { norm, targets }), norm);
  const shares = new NormShares(model, slices, { norm, units });
  return shares.isEmpty ? undefined : shares;
}
