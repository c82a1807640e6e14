// Numbers that change from step to step, as tensors of no dimensions on the device. A captured step
// (`CudaGraph`) is replayed with the kernels' arguments as they were: what JavaScript gives as a number
// stays what it was at the capture, while a tensor is read anew.
import { callOperator, hasOperator } from '../dispatch.js';
import * as ops from '../generated/ops.js';
import type { Tensor } from '../tensor.js';

/**
 * Whether an operator of ours for whole lists on a GPU takes these: libtorch's, which give a block 65,536 elements, leave most
 * of it idle.
 */
export function takesLists(operator: string, ...lists: (readonly Tensor[])[]): boolean {
  return (
    lists[0]?.[0]?.device.startsWith('cuda') === true &&
    hasOperator(operator) &&
    lists.every((list) =>
      list.every(({ dtype, isContiguous }) => dtype === 'float32' && isContiguous),
    )
  );
}

/** Multiplies all by one factor that lies on the device. @param factor - 0-d, of the tensors' device */
export function mulAll_(tensors: readonly Tensor[], factor: Tensor): void {
  if (tensors.length === 0) return;
  // Not in libtorch 1.13.
  if (hasOperator('aten::_foreach_mul_.Tensor')) {
    callOperator('aten::_foreach_mul_.Tensor', tensors, factor);
  } else {
    for (const tensor of tensors) tensor.mul_(factor);
  }
}

/** averages = decay * averages + (1 - decay) * values, with the decay on the device. */
export function averageAll_(
  averages: readonly Tensor[],
  values: readonly Tensor[],
  decay: Tensor,
): void {
  const operator = 'mamba_prune::average_list_';
  if (takesLists(operator, averages, values)) {
    callOperator(operator, averages, values, decay);
    return;
  }
  mulAll_(averages, decay);
  const rest = decay.neg().add(1);
  if (hasOperator('aten::_foreach_mul.Tensor')) {
    ops.foreachAdd_(
      averages,
      callOperator('aten::_foreach_mul.Tensor', values, rest) as Tensor[],
      1,
    );
  } else {
    averages.forEach((average, i) => ops.addcmul_(average, values[i] as Tensor, rest));
  }
}
