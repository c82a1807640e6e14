// The parameters of an SSM as the operators that compute more than a layer are given them.
import type { Tensor } from '@mamba-prune/libtorch';
import type { SelectiveSsm } from './ssm.js';

/** How many `scanWeights` gives for a direction, and where some of them are. */
export const scanPlaces = { count: 7, xProj: 2, dtBias: 4, aLog: 5 } as const;

/** Seven for each direction: conv1d's weight and bias, x_proj, dt_proj's weight and bias, A_log, D. */
export function scanWeights({ scans }: SelectiveSsm): Tensor[] {
  return scans.flatMap(({ conv1d, xProj, dtProj, aLog, d }) => [
    conv1d.weight,
    conv1d.bias as Tensor,
    xProj.weight,
    dtProj.weight,
    dtProj.bias as Tensor,
    aLog,
    d,
  ]);
}

/** For `kernels.ssmBranch`: all of them, which the gradients are for. */
export function ssmWeights(ssm: SelectiveSsm): Tensor[] {
  return [ssm.inProj.weight, ssm.outProj.weight, ...scanWeights(ssm)];
}

/** For `kernels.ssmBranch`: those of its matrix products. */
export function ssmMatrices({ inProj, outProj, scans }: SelectiveSsm): Tensor[] {
  const each = scans.flatMap(({ xProj, dtProj }) => [xProj.weight, dtProj.weight]);
  return [inProj.weight, outProj.weight, ...each];
}
