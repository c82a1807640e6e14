// The weights of both branches of a block in the order in which the kernels that train read them on a GPU. Whoever keeps
// copies of the weights keeps these beside them: packed once a step in one launch, rather than at every use.
import { noGrad } from '../autograd.js';
import { callOperator, hasOperator } from '../dispatch.js';
import type { Tensor } from '../tensor.js';

/** Copies that the units are made of, padded as `ssmBranch` and `mlpBranch` say, and the units. */
export interface BranchUnits {
  /** in_proj, then x_proj and dt_proj of each direction. */
  readonly ssm: readonly Tensor[];
  /** fc1 and fc2, and the bias of fc1 in float32. */
  readonly mlp: readonly Tensor[];
  /** Of in_proj, of each direction's projections, of the MLP; the caller's to dispose of. */
  readonly units: readonly Tensor[];
}

/**
 * Room for the units of a block; undefined where there are no such kernels for its sizes, its type or its device.
 * `ssmBranch` takes all but the last behind its `packed`, `mlpBranch` the last.
 * @param states - of the SSM
 */
export function makeBranchUnits(
  ssm: readonly Tensor[],
  mlp: readonly Tensor[],
  states: number,
): BranchUnits | undefined {
  const [first] = ssm;
  if (!first?.device.startsWith('cuda') || first.dtype === 'float32') return undefined;
  if (!hasOperator('mamba_prune::branch_units')) return undefined;
  const units = callOperator('mamba_prune::branch_units', ssm, mlp, states) as Tensor[];
  return units.length === 0 ? undefined : { ssm, mlp, units: units.map((tensor) => tensor.keep()) };
}

/** Packs the weights as they are now. @param blocks - as many directions in each */
export function packBranchUnits(blocks: readonly BranchUnits[]): void {
  if (blocks.length === 0) return;
  const of = (key: keyof BranchUnits) => blocks.flatMap((block) => block[key]);
  const [ssm, mlp, units] = [of('ssm'), of('mlp'), of('units')];
  noGrad(() => callOperator('mamba_prune::pack_branch_units', ssm, mlp, units, blocks.length));
}
