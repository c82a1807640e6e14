// The norm of all gradients, and a limit to it.
import { noGrad } from '../autograd.js';
import { elementSize } from '../dtype.js';
import { callOperator } from '../dispatch.js';
import { stack } from '../factories.js';
import * as ops from '../generated/ops.js';
import { scope } from '../scope.js';
import type { Tensor } from '../tensor.js';
import { mulAll_, takesLists } from './device-scalars.js';

/** PyTorch's guard against a division by zero (torch.nn.utils.clip_grad_norm_). */
const epsilon = 1e-6;

/**
 * Scales all gradients by one factor so that their common norm is at most `maxNorm`. Smaller ones are
 * left alone, and so are gradients whose norm is not finite: check the result.
 *
 * @param params - those without a gradient do not count
 * @returns the norm before; reading it waits for the device
 */
export function clipGradNorm(params: readonly Tensor[], maxNorm: number): number {
  checkMaxNorm('clipGradNorm', maxNorm);
  return noGrad(() =>
    scope(() => {
      const grads = params.map((param) => param.grad).filter((grad) => grad !== null);
      if (grads.length === 0) return 0;
      const kernel = grads.every(
        ({ device, dtype, isContiguous }) =>
          device === 'cpu' && (dtype === 'float32' || dtype === 'float64') && isContiguous,
      );
      const total = kernel
        ? (callOperator('mamba_prune::grad_norm', grads) as Tensor)
        : normOf(grads);
      const norm = total.item();
      const factor = maxNorm / (norm + epsilon);
      if (Number.isFinite(norm) && factor < 1) {
        if (kernel) callOperator('mamba_prune::scale_', grads, factor);
        else for (const list of alike(grads)) ops.foreachMulScalar_(list, factor);
      }
      return norm;
    }),
  );
}

/**
 * `clipGradNorm` without waiting for the device: for steps that are captured. A norm that is not finite
 * makes all gradients so.
 *
 * @returns the norm before, 0-d; undefined if no parameter has a gradient
 */
export function clipGradNormOnDevice(
  params: readonly Tensor[],
  maxNorm: number,
): Tensor | undefined {
  checkMaxNorm('clipGradNormOnDevice', maxNorm);
  return noGrad(() =>
    scope(() => {
      const grads = params.map((param) => param.grad).filter((grad) => grad !== null);
      if (grads.length === 0) return undefined;
      const norm = normOf(grads);
      const factor = norm.add(epsilon).reciprocal().mul_(maxNorm);
      for (const list of alike(grads)) scaleAll_(list, ops.clampMax(factor, 1));
      return norm;
    }),
  );
}

function checkMaxNorm(where: string, maxNorm: number): void {
  if (maxNorm > 0) return;
  throw new RangeError(`${where}: got maxNorm ${maxNorm}, expected a number above 0.`);
}

function normOf(grads: readonly Tensor[]): Tensor {
  const operator = 'mamba_prune::norm_of_list';
  const norms = alike(grads).flatMap((list) => {
    if (takesLists(operator, list)) return [callOperator(operator, list) as Tensor];
    // In 16 bits a norm would have two or three digits and overflow early.
    if (elementSize(list[0]?.dtype ?? 'float32') > 2) return ops.foreachNorm(list);
    return list.map((grad) => ops.linalgVectorNorm(grad, 2, null, false, 'float32'));
  });
  const device = grads[0]?.device ?? 'cpu';
  return stack(norms.map((norm) => norm.to('float32').to(device))).norm();
}

function scaleAll_(list: readonly Tensor[], factor: Tensor): void {
  const operator = 'mamba_prune::scale_list_';
  if (takesLists(operator, list)) callOperator(operator, list, factor);
  else mulAll_(list, factor);
}

/** Lists of one device and type each, which the foreach operators need. */
function alike(tensors: readonly Tensor[]): Tensor[][] {
  const lists = new Map<string, Tensor[]>();
  for (const tensor of tensors) {
    const key = `${tensor.device} ${tensor.dtype}`;
    const list = lists.get(key);
    if (list) list.push(tensor);
    else lists.set(key, [tensor]);
  }
  return [...lists.values()];
}
