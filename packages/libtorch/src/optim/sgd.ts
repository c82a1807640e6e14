// Stochastic gradient descent with momentum.
import { type OptionKinds, checkOptions } from '../check-options.js';
import { callOperator } from '../dispatch.js';
import { full } from '../factories.js';
import * as ops from '../generated/ops.js';
import type { Tensor } from '../tensor.js';
import { takesLists } from './device-scalars.js';
import { Optimizer } from './optimizer.js';
import type { Batch } from './param-batches.js';
import { type ParamGroup, type ParamGroupOptions, checkSetting } from './param-groups.js';

export interface SGDOptions {
  readonly lr: number;
  /** Decay of the running sum of gradients that a step follows. Default `0`. */
  readonly momentum?: number;
  /** L2 penalty, added to the gradient. Default `0`. */
  readonly weightDecay?: number;
  /** Looks one step of momentum ahead; needs momentum. */
  readonly nesterov?: boolean;
}

const sgdKinds: OptionKinds<SGDOptions> = {
  lr: 'number',
  momentum: 'number',
  weightDecay: 'number',
  nesterov: 'boolean',
};

/** Of ours, for lists on a GPU. */
const sgdSteps = 'mamba_prune::sgd_steps_';

/** Stochastic gradient descent with the formulas of torch.optim.SGD (dampening 0). */
export class SGD extends Optimizer {
  readonly momentum: number;
  readonly nesterov: boolean;

  constructor(params: readonly Tensor[] | readonly ParamGroupOptions[], options: SGDOptions) {
    checkOptions('SGD', options, sgdKinds);
    const { lr, momentum = 0, weightDecay = 0, nesterov = false } = options;
    super(params, { lr, weightDecay }, momentum === 0 ? [] : ['momentum_buffer']);
    checkSetting('SGD', 'momentum', momentum, momentum >= 0, 'at least 0');
    if (nesterov && momentum === 0) {
      throw new RangeError('SGD: got `nesterov` with `momentum` 0, expected a momentum above 0.');
    }
    this.momentum = momentum;
    this.nesterov = nesterov;
  }

  protected override update(batch: Batch, { lr, weightDecay }: ParamGroup): void {
    const { params, grads, slots, step, device } = batch;
    const [buffers = []] = slots;
    const { momentum, nesterov } = this;
    const first = step === 1;
    if (batch.kernel) {
      const settings = [lr, momentum, weightDecay, nesterov, first];
      callOperator('mamba_prune::sgd_', params, grads, buffers, ...settings);
      return;
    }
    if (takesLists(sgdSteps, params, grads)) {
      const { lr: rate, skip } = batch.scalars ?? { lr: full([], lr, { device }), skip: undefined };
      const settings = [rate, skip ?? null, momentum, weightDecay, nesterov];
      callOperator(sgdSteps, params, grads, buffers, ...settings);
      return;
    }
    let direction: readonly Tensor[] = grads;
    if (weightDecay !== 0) direction = ops.foreachAdd(direction, params, weightDecay);
    if (momentum !== 0) {
      // The first buffer is the gradient itself, and buffers start as zeros.
      ops.foreachMulScalar_(buffers, momentum);
      ops.foreachAdd_(buffers, direction);
      direction = nesterov ? ops.foreachAdd(direction, buffers, momentum) : buffers;
    }
    if (!batch.scalars) {
      ops.foreachAdd_(params, direction, -lr);
      return;
    }
    const rate = batch.scalars.lr;
    params.forEach((param, i) => {
      ops.addcmul_(param, direction[i] as Tensor, rate, -1);
    });
  }
}
