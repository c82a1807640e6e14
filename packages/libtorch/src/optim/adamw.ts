// Adam with decoupled weight decay.
import { type OptionKinds, checkOptions } from '../check-options.js';
import { callOperator, hasOperator } from '../dispatch.js';
import { full } from '../factories.js';
import * as ops from '../generated/ops.js';
import type { Tensor } from '../tensor.js';
import { mulAll_, takesLists } from './device-scalars.js';
import { Optimizer } from './optimizer.js';
import type { Batch, DeviceScalars } from './param-batches.js';
import { type ParamGroup, type ParamGroupOptions, checkSetting } from './param-groups.js';

export interface AdamWOptions {
  /** Learning rate. Default `1e-3`. */
  readonly lr?: number;
  /** Decay of the averages of the gradient and of its square. Default `[0.9, 0.999]`. */
  readonly betas?: readonly [number, number];
  /** Added to the root of the second moment. Default `1e-8`. */
  readonly eps?: number;
  /** Weights shrink by lr * weightDecay each step. Default `0.01`. */
  readonly weightDecay?: number;
}

export const adamWKinds: OptionKinds<AdamWOptions> = {
  lr: 'number',
  betas: 'array',
  eps: 'number',
  weightDecay: 'number',
};

/** Of ours, for lists on a GPU. */
const adamwSteps = 'mamba_prune::adamw_steps_';

/**
 * Adam with decoupled weight decay (Loshchilov and Hutter 2019, https://arxiv.org/abs/1711.05101),
 * with the formulas and defaults of torch.optim.AdamW.
 */
export class AdamW extends Optimizer {
  readonly betas: readonly [number, number];
  readonly eps: number;

  constructor(
    params: readonly Tensor[] | readonly ParamGroupOptions[],
    options: AdamWOptions = {},
  ) {
    checkOptions('AdamW', options, adamWKinds);
    const { lr = 1e-3, betas = [0.9, 0.999], eps = 1e-8, weightDecay = 0.01 } = options;
    super(params, { lr, weightDecay }, ['exp_avg', 'exp_avg_sq']);
    const { length }: readonly number[] = betas;
    if (length !== 2) {
      throw new RangeError(`AdamW: got ${length} betas, expected two.`);
    }
    for (const beta of betas) {
      checkSetting('AdamW', 'beta', beta, beta >= 0 && beta < 1, 'from 0 to below 1');
    }
    checkSetting('AdamW', 'eps', eps, eps >= 0, 'at least 0');
    this.betas = betas;
    this.eps = eps;
  }

  protected override update(batch: Batch, group: ParamGroup): void {
    const { lr, weightDecay } = group;
    const { params, grads, slots, step, device } = batch;
    const [average = [], square = []] = slots;
    const [beta1, beta2] = this.betas;
    if (batch.scalars) {
      this.#updateByScalars(batch, batch.scalars, group);
    } else if (batch.kernel) {
      const lists = [params, grads, average, square];
      const settings = [lr, beta1, beta2, this.eps, weightDecay, step];
      callOperator('mamba_prune::adamw_', ...lists, ...settings);
    } else if (takesLists(adamwSteps, params, grads)) {
      const [rate, count] = [full([], lr, { device }), full([], step, { device })];
      const counts = params.map(() => count);
      this.#updateOnDevice(batch, { lr: rate, counts, skip: undefined }, group);
    } else if (device.startsWith('cuda') && hasOperator('aten::_fused_adamw_')) {
      const count = full([], step, { device });
      const steps = params.map(() => count);
      const lists = [params, grads, average, square, [], steps];
      const settings = [lr, beta1, beta2, weightDecay, this.eps, false, false];
      callOperator('aten::_fused_adamw_', ...lists, ...settings);
    } else {
      decay_(batch, group);
      ops.foreachMulScalar_(average, beta1);
      ops.foreachAdd_(average, grads, 1 - beta1);
      ops.foreachMulScalar_(square, beta2);
      ops.foreachAddcmul_(square, grads, grads, 1 - beta2);
      const denominator = ops.foreachSqrt(square);
      ops.foreachDivScalar_(denominator, Math.sqrt(1 - beta2 ** step));
      ops.foreachAddScalar_(denominator, this.eps);
      ops.foreachAddcdiv_(params, average, denominator, -lr / (1 - beta1 ** step));
    }
  }

  #updateOnDevice(batch: Batch, { lr, counts, skip }: DeviceScalars, group: ParamGroup): void {
    const { params, grads, slots } = batch;
    const lists = [params, grads, slots[0] ?? [], slots[1] ?? [], counts];
    const settings = [...this.betas, this.eps, group.weightDecay];
    callOperator(adamwSteps, ...lists, lr, skip ?? null, ...settings);
  }

  /** The same update with learning rate and step count read from the device. */
  #updateByScalars(batch: Batch, scalars: DeviceScalars, group: ParamGroup): void {
    const { params, grads, slots, device } = batch;
    const { lr, counts, skip } = scalars;
    const [average = [], square = []] = slots;
    const [beta1, beta2] = this.betas;
    if (takesLists(adamwSteps, params, grads)) {
      this.#updateOnDevice(batch, scalars, group);
      return;
    }
    if (device.startsWith('cuda') && hasOperator('aten::_fused_adamw_.tensor_lr')) {
      const lists = [params, grads, average, square, [], counts];
      const settings = [lr, beta1, beta2, group.weightDecay, this.eps, false, false, null, skip];
      callOperator('aten::_fused_adamw_.tensor_lr', ...lists, ...settings);
      return;
    }
    decay_(batch, group);
    ops.foreachMulScalar_(average, beta1);
    ops.foreachAdd_(average, grads, 1 - beta1);
    ops.foreachMulScalar_(square, beta2);
    ops.foreachAddcmul_(square, grads, grads, 1 - beta2);
    params.forEach((param, i) => {
      // 1 - beta^t, without the cancellation that the first steps would suffer in float32.
      const [bias1, bias2] = this.betas.map((beta) =>
        (counts[i] as Tensor).mul(Math.log(beta)).expm1().neg(),
      ) as [Tensor, Tensor];
      const denominator = (square[i] as Tensor).div(bias2).sqrt().add_(this.eps);
      param.sub_((average[i] as Tensor).div(denominator).mul_(lr.div(bias1)));
    });
  }
}

/** Shrinks the weights by lr * weightDecay, with the learning rate of the device where it is kept there. */
export function decay_({ params, scalars }: Batch, { lr, weightDecay }: ParamGroup): void {
  if (scalars) mulAll_(params, scalars.lr.mul(-weightDecay).add(1));
  else ops.foreachMulScalar_(params, 1 - lr * weightDecay);
}
