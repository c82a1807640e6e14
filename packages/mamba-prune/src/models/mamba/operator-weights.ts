// The parameters of a block as the operators that compute more than a layer are given them.
import type { Tensor } from '@mamba-prune/libtorch';
import type * as kernels from '@mamba-prune/libtorch/kernels';
import type { Mlp } from '../layers/mlp.js';
import type { Block } from './model.js';

/** For `kernels.mambaBlock`; undefined with two directions, which it cannot do. */
export function blockWeights({
  norm1,
  ssm,
  norm2,
  mlp,
}: Block): kernels.MambaBlockWeights | undefined {
  const [{ conv1d, xProj, dtProj, aLog, d }, backward] = ssm.scans;
  if (backward) return undefined;
  return {
    norm1Weight: norm1.weight as Tensor,
    norm1Bias: norm1.bias as Tensor,
    inProj: ssm.inProj.weight,
    convWeight: conv1d.weight,
    convBias: conv1d.bias as Tensor,
    xProj: xProj.weight,
    dtWeight: dtProj.weight,
    dtBias: dtProj.bias as Tensor,
    aLog,
    d,
    outProj: ssm.outProj.weight,
    norm2Weight: norm2.weight as Tensor,
    norm2Bias: norm2.bias as Tensor,
    fc1Weight: mlp.fc1.weight,
    fc1Bias: mlp.fc1.bias as Tensor,
    fc2Weight: mlp.fc2.weight,
    fc2Bias: mlp.fc2.bias as Tensor,
  };
}

/** For `kernels.mlpBranch`, both of its lists. */
export function mlpWeights({ fc1, fc2 }: Mlp): Tensor[] {
  return [fc1.weight, fc1.bias as Tensor, fc2.weight, fc2.bias as Tensor];
}
