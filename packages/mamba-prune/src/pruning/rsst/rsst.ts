/** λ R and the weights: its value, its gradient, and what takes the units to zero without one. */
import { type Tensor, type nn, noGrad, ops, scope, zerosLike } from '@mamba-prune/libtorch';
import { UsageError } from '../../errors.js';
import type { PruningGroup } from '../../models/groups.js';
import { type OptionKinds, requireOptions } from '../../option-checks.js';
import type { StepNumbers } from '../../training/step-context.js';
import { todaysStrength } from '../earlier-names.js';
import { type RegApplication, regApplications } from './choices.js';
import { type RegularizerOptions, regularizedGroups, regularizerKinds } from './regularizer.js';
import { type RsstSchedule, type RsstStrength, checkStrength, rsstLambda } from './schedule.js';
import { type RsstSpan, checkSpan, shareAfter, shareAtEpoch, shareBefore } from './span.js';
import {
  type GroupSlices,
  sliceGroups,
  sliceOf,
  spreadOver,
  unitMask,
  unitNorms,
} from './unit-slices.js';

export interface RsstOptions extends RegularizerOptions, RsstStrength, RsstSpan {
  readonly schedule: RsstSchedule;
  /** Default `loss`. Under `shrink` the schedule is how much of the units is gone, and the strength is 1. */
  readonly apply?: RegApplication | undefined;
}

const rsstKinds: OptionKinds<RsstOptions> = {
  schedule: 'string',
  strength: 'number',
  exponent: 'number',
  apply: 'string',
  epochs: 'number',
  epochsBefore: 'number',
  ...regularizerKinds,
};

/** Below this a norm counts as zero: a gradient of w / norm needs no more than to stay finite. */
const tiny = 1e-30;

/**
 * The ways to apply λ R, with derivatives written out: a pass of autograd over all weights would
 * cost three times as much.
 */
export class Rsst {
  readonly #groups: readonly GroupSlices[];
  /** Made once: a step that is captured may not bring numbers from the host. */
  readonly #masks = new Map<string, Tensor>();

  readonly #options: RsstOptions;

  /** @throws UsageError for options out of range, or that do not fit the groups */
  constructor(model: nn.Module, groups: readonly PruningGroup[], given: RsstOptions) {
    const options = todaysStrength(given);
    this.#options = options;
    requireOptions('RsstOptions', options, rsstKinds);
    const { schedule, apply = 'loss' } = options;
    checkStrength(schedule, options);
    checkSpan(options);
    if (!regApplications.includes(apply)) {
      throw new UsageError(
        `rsst: apply: got '${apply}', expected one of ${regApplications.join(', ')}`,
      );
    }
    if (apply === 'shrink') checkShrink(options);
    this.#groups = sliceGroups(model, regularizedGroups(groups, options), options.norm);
  }

  /** λ after `progress` (0 to 1) of the training. */
  lambda(progress: number): number {
    return rsstLambda(this.#options.schedule, this.#options, progress);
  }

  /** λ of a step. */
  lambdaAt(numbers: StepNumbers): number {
    return this.lambda(shareBefore(this.#options, numbers));
  }

  /** λ at the end of an epoch, counted from 1, of a training of `epochs` epochs. */
  lambdaAfter(epoch: number, epochs: number): number {
    return this.lambda(shareAtEpoch(this.#options, epoch, epochs));
  }

  /**
   * Under `shrink` the share of the units that a step takes, 0 to 1: what is left goes along 1 - λ, so that it is that
   * after the step over that before it. 1 in the last step, after which they are zero exactly.
   */
  shrinkAt(numbers: StepNumbers): number {
    const share = shareAfter(this.#options, numbers);
    const before = 1 - this.lambdaAt(numbers);
    return share < 1 && before > 0 ? 1 - (1 - this.lambda(share)) / before : 1;
  }

  /** The norms of all regularised groups' units, one tensor per group; without gradients. */
  norms(): Tensor[] {
    return noGrad(() => this.#groups.map((sliced) => unitNorms(sliced, this.#options.norm)));
  }

  /** R, 0-d. @param norms - what `norms` gave */
  value(norms: readonly Tensor[]): Tensor {
    return noGrad(() =>
      this.#groups
        .map((sliced, i) => {
          const all = norms[i] as Tensor;
          return all.mul(this.#mask(sliced, all)).sum();
        })
        .reduce((sum, part) => sum.add(part)),
    );
  }

  /**
   * Adds the gradient of λ R to the parameters' gradients.
   * @param lambda - a number, or 0-d
   * @param norms - those of now
   */
  addGradient(lambda: number | Tensor, norms: readonly Tensor[]): void {
    const { norm } = this.#options;
    this.#visit((sliced, i) => {
      const all = norms[i] as Tensor;
      const pull = this.#mask(sliced, all).mul(lambda);
      // The derivative of |w| is sign(w), that of the norm of a vector w / norm.
      const perUnit = norm === 'l1' ? pull : pull.div(all.clamp(tiny));
      for (const slice of sliced.slices) {
        const { parameter } = slice;
        parameter.grad ??= zerosLike(parameter);
        const view = sliceOf(parameter, slice, sliced.group);
        const direction = norm === 'l1' ? view.sign() : view;
        const gradient = sliceOf(parameter.grad, slice, sliced.group);
        ops.addcmul_(gradient, direction, spreadOver(perUnit, slice));
      }
    });
  }

  /** Whether all units that are regularised are zero, as the norm sees them. Waits for the device. */
  isAtZero(): boolean {
    return scope(() => this.value(this.norms()).item() === 0);
  }

  /** Takes a share of every unit, in place: of all weights that the norm is over. @param share - 0 to 1, 0-d */
  shrink(share: Tensor): void {
    this.#visit((sliced) => {
      this.#multiply(sliced, this.#mask(sliced, share).mul(share).neg().add(1));
    });
  }

  /** The proximal operator of `amount` times R, in place. @param amount - lr λ, a number or 0-d */
  pull(amount: number | Tensor): void {
    const { norm } = this.#options;
    this.#visit((sliced) => {
      const { group, slices } = sliced;
      if (norm === 'l1') {
        // Every weight goes towards zero by `amount`, and stops there.
        for (const slice of slices) {
          const view = sliceOf(slice.parameter, slice, group);
          const most = this.#mask(sliced, view).mul(amount);
          view.sub_(view.sign().mul_(ops.minimum(view.abs(), spreadOver(most, slice))));
        }
        return;
      }
      const all = unitNorms(sliced, norm);
      const lost = this.#mask(sliced, all).mul(amount).div(all.clamp(tiny)).clamp(0, 1);
      this.#multiply(sliced, lost.neg().add(1));
    });
  }

  /** @param factor - of every unit, shape [group.size] */
  #multiply({ group, slices }: GroupSlices, factor: Tensor): void {
    for (const slice of slices) {
      sliceOf(slice.parameter, slice, group).mul_(spreadOver(factor, slice));
    }
  }

  /** 1 for the units that are regularised. */
  #mask({ group }: GroupSlices, like: Tensor): Tensor {
    const key = `${group.name} ${like.dtype} ${like.device}`;
    let mask = this.#masks.get(key);
    if (!mask) {
      mask = unitMask(group, this.#options.units, like).keep();
      this.#masks.set(key, mask);
    }
    return mask;
  }

  #visit(body: (sliced: GroupSlices, index: number) => void): void {
    noGrad(() => {
      this.#groups.forEach((sliced, i) => {
        scope(() => {
          body(sliced, i);
        });
      });
    });
  }
}

/** @throws UsageError for what the shrinking does not look at */
function checkShrink({ schedule, strength }: RsstOptions): void {
  if (strength !== 1) {
    throw new UsageError(
      `rsst: strength: got ${strength} with apply shrink, expected 1: the schedule alone says how much is left`,
    );
  }
  if (schedule === 'constant') {
    throw new UsageError(
      "rsst: schedule: got 'constant' with apply shrink, expected one that grows: nothing would be left after the first step",
    );
  }
}
