/** The weights of each unit as RSST sees them, and their norms. */
import { type Tensor, fromTypedArray, type nn, stack } from '@mamba-prune/libtorch';
import { UsageError } from '../../errors.js';
import {
  type GroupMember,
  type KeptUnits,
  type PruningGroup,
  memberOffset,
  memberUnitSize,
} from '../../models/groups.js';
import type { RegNorm } from './choices.js';

/** Units per group name, increasing indices: those that are to go, say. */
export type UnitSet = KeptUnits;

/** A group's place in one parameter. */
export interface MemberSlice {
  readonly parameter: Tensor;
  readonly member: GroupMember;
}

export interface GroupSlices {
  readonly group: PruningGroup;
  readonly slices: readonly MemberSlice[];
}

/**
 * The slices that a norm is taken over, bound to a model's parameters. Buffers among the members
 * (running statistics) are not trained and left out.
 * @throws UsageError if a group names a parameter that the model does not have
 */
export function sliceGroups(
  model: nn.Module,
  groups: readonly PruningGroup[],
  norm: RegNorm,
): GroupSlices[] {
  const parameters = model.namedParameters();
  const buffers = model.namedBuffers();
  return groups.map((group) => {
    const slices: MemberSlice[] = [];
    for (const member of norm === 'l1' ? regularizedMembers(group) : group.members) {
      const parameter = parameters.get(member.parameter);
      if (parameter) slices.push({ parameter, member });
      else if (!buffers.has(member.parameter)) {
        throw new UsageError(
          `group '${group.name}': names the parameter '${member.parameter}', which the model does not have`,
        );
      }
    }
    return { group, slices };
  });
}

function regularizedMembers({ members }: PruningGroup): readonly GroupMember[] {
  const marked = members.filter(({ regularized }) => regularized === true);
  return marked.length > 0 ? marked : members.filter(({ scored }) => scored === true);
}

/** The slice of a tensor shaped like the parameter (itself, or its gradient): a view. */
export function sliceOf(tensor: Tensor, { member }: MemberSlice, { size }: PruningGroup): Tensor {
  return tensor.narrow(member.dim, memberOffset(member), size * memberUnitSize(member));
}

/**
 * The norm of every unit, differentiable. The gradient of a unit that is zero is zero, as libtorch's
 * norms have it; a square root of a sum of squares would give NaN.
 * @returns shape [group.size]
 */
export function unitNorms({ group, slices }: GroupSlices, norm: RegNorm): Tensor {
  const p = norm === 'l1' ? 1 : 2;
  const parts = slices.map((slice) => {
    const { parameter, member } = slice;
    const others = parameter.shape.map((_, dim) => dim).filter((dim) => dim !== member.dim);
    const view = sliceOf(parameter, slice, group);
    const perIndex = others.length > 0 ? view.norm(p, others) : view.abs();
    const unitSize = memberUnitSize(member);
    return unitSize === 1 ? perIndex : perIndex.reshape(group.size, unitSize).norm(p, 1);
  });
  return parts.length === 1 ? (parts[0] as Tensor) : stack(parts).norm(p, 0);
}

/**
 * One value per unit, shaped to multiply with the slice.
 * @param values - shape [group.size]
 */
export function spreadOver(values: Tensor, { parameter, member }: MemberSlice): Tensor {
  const size = values.numel;
  const unitSize = memberUnitSize(member);
  const perIndex = unitSize === 1 ? values : values.unsqueeze(1).expand(size, unitSize);
  return perIndex.reshape(...parameter.shape.map((_, dim) => (dim === member.dim ? -1 : 1)));
}

/** 1 for the units of the set, 0 for the others; all 1 without a set. Shape [group.size], as `like`. */
export function unitMask({ name, size }: PruningGroup, units: UnitSet | undefined, like: Tensor) {
  const values = new Float32Array(size).fill(units ? 0 : 1);
  for (const unit of units?.get(name) ?? []) values[unit] = 1;
  return fromTypedArray(values, [size]).to(like.dtype).to(like.device);
}
