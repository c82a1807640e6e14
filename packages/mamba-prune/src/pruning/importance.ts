// How much a unit matters, from its weights. Linear weights are [out, in].
import { type Tensor, noGrad, scope, zeros } from '@mamba-prune/libtorch';
import { UsageError } from '../errors.js';
import { type GroupMember, type PruningGroup, memberOffset, memberUnitSize } from './groups.js';

/** l1: sum of |w|; l2: square root of the sum of w². */
export const importanceNorms = ['l1', 'l2'] as const;
export type ImportanceNorm = (typeof importanceNorms)[number];

/**
 * One score per unit and group: the norm of the unit's slice of each scored member, added up.
 * @returns per group name, `size` scores
 * @throws UsageError if a parameter that a group names is missing
 */
export function groupImportance(
  groups: readonly PruningGroup[],
  state: ReadonlyMap<string, Tensor>,
  norm: ImportanceNorm,
): Map<string, Float64Array> {
  return new Map(
    groups.map((group) => {
      const scores = scope(() => {
        const total = zeros([group.size], { dtype: 'float64' });
        for (const member of group.members.filter(({ scored }) => scored === true)) {
          total.add_(noGrad(() => unitNorms(unitRows(member, group, state), norm)));
        }
        return total.toTypedArray() as Float64Array;
      });
      return [group.name, scores];
    }),
  );
}

/** The member's values as [units, values of the unit]. */
export function unitRows(
  member: GroupMember,
  group: PruningGroup,
  state: ReadonlyMap<string, Tensor>,
): Tensor {
  const tensor = state.get(member.parameter);
  if (!tensor) {
    throw new UsageError(
      `group '${group.name}': got a state dict without '${member.parameter}', expected every member of the group`,
    );
  }
  const unitSize = memberUnitSize(member);
  return tensor
    .detach()
    .narrow(member.dim, memberOffset(member), group.size * unitSize)
    .transpose(0, member.dim)
    .reshape(group.size, -1);
}

// In double precision: the order of units must not hang on how a sum was split over threads.
function unitNorms(rows: Tensor, norm: ImportanceNorm): Tensor {
  const values = rows.to('cpu').to('float64');
  return norm === 'l1' ? values.abs().sum(1) : values.square().sum(1).sqrt();
}
