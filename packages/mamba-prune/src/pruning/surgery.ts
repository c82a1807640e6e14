// Makes a really smaller model: new parameters, no masks, no zeros left.
import { type Tensor, noGrad, scope } from '@mamba-prune/libtorch';
import { shown } from '../checks.js';
import { UsageError } from '../errors.js';
import { requireModel, requirePrunable } from '../models/require-model.js';
import type { ImageModel } from '../models/image-model.js';
import {
  type KeptUnits,
  type PruningGroup,
  complement,
  memberOffset,
  memberUnitSize,
} from '../models/groups.js';

/** Per parameter and dimension: which indices stay, increasing. */
type KeptIndices = Map<string, Map<number, number[]>>;

/**
 * A new model without the removed units, of the element type and on the device of `model`, which is left as it is. The
 * two give the same function when the removed units of `model` are masked to zero.
 *
 * @param kept - increasing unit indices per group name; groups not named stay whole
 * @throws UsageError for an unknown group, an empty one, or indices that are none of its units
 */
export function pruneModel(model: ImageModel, kept: KeptUnits): ImageModel {
  requirePrunable('pruneModel', model);
  const cut = tensorCut(model, kept);
  const widths = Object.fromEntries(Array.from(kept, ([name, units]) => [name, units.length]));
  const pruned = model.withWidths(widths);
  requireModel('pruneModel: withWidths of the model', pruned);
  try {
    const [like] = model.parameters();
    if (like) pruned.to(like.dtype).to(like.device);
    scope(() => {
      noGrad(() => {
        pruned.loadStateDict(
          new Map(Array.from(model.stateDict(), ([name, tensor]) => [name, cut(name, tensor)])),
        );
      });
    });
    pruned.train(model.training);
  } catch (error) {
    // A GPU without memory for it must not go on holding a part of it.
    pruned.dispose();
    throw error;
  }
  return pruned;
}

/**
 * What is left of a tensor of the shape of a parameter or buffer: itself, or its moments and averages.
 * @param name - of the parameter or buffer
 * @param tensor - of the shape that it has in the model before the cut
 * @returns the indices that the cut leaves of it; the tensor itself, detached, if it loses none
 */
export type TensorCut = (name: string, tensor: Tensor) => Tensor;

/**
 * How `pruneModel` cuts each tensor of a model, for others of the same shapes. It needs the model no more.
 * @param model - before the cut
 * @throws UsageError as `pruneModel`
 */
export function tensorCut(model: ImageModel, kept: KeptUnits): TensorCut {
  const groups = model.pruningGroups();
  checkKept(groups, kept);
  const indices = keptIndices(groups, kept, model.stateDict());
  return (name, tensor) => {
    let result = tensor.detach();
    for (const [dim, list] of indices.get(name) ?? []) result = result.indexSelect(dim, list);
    return result;
  };
}

/**
 * Sets every member of the removed units to zero, in place, and lets them count no more in a norm over the units. For tests, and
 * to see what a cut does without changing shapes.
 */
export function maskModel(model: ImageModel, kept: KeptUnits): void {
  requirePrunable('maskModel', model);
  const groups = model.pruningGroups();
  checkKept(groups, kept);
  const state = model.stateDict();
  scope(() => {
    noGrad(() => {
      for (const group of groups) {
        const units = kept.get(group.name);
        if (!units) continue;
        const removed = complement(units, group.size);
        const shares = removed.length > 0 ? model.normOver?.(group.name)?.weigh() : undefined;
        for (const unit of removed) shares?.narrow(0, unit, 1).zero_();
        for (const member of group.members) {
          const unitSize = memberUnitSize(member);
          const tensor = parameterOf(state, member.parameter, group);
          for (const unit of removed) {
            tensor
              .detach()
              .narrow(member.dim, memberOffset(member) + unit * unitSize, unitSize)
              .zero_();
          }
        }
      }
    });
  });
}

function keptIndices(
  groups: readonly PruningGroup[],
  kept: KeptUnits,
  state: ReadonlyMap<string, Tensor>,
): KeptIndices {
  const result: KeptIndices = new Map();
  for (const group of groups) {
    const units = kept.get(group.name);
    if (!units) continue;
    const removed = complement(units, group.size);
    for (const member of group.members) {
      const size = parameterOf(state, member.parameter, group).size(member.dim);
      const unitSize = memberUnitSize(member);
      const drop = new Set<number>();
      for (const unit of removed) {
        const first = memberOffset(member) + unit * unitSize;
        for (let index = first; index < first + unitSize; index++) drop.add(index);
      }
      const dims = result.get(member.parameter) ?? new Map<number, number[]>();
      // One dimension can hold several groups, or one group twice (the two halves of in_proj).
      const before = dims.get(member.dim) ?? Array.from({ length: size }, (_, index) => index);
      dims.set(
        member.dim,
        before.filter((index) => !drop.has(index)),
      );
      result.set(member.parameter, dims);
    }
  }
  return result;
}

function parameterOf(
  state: ReadonlyMap<string, Tensor>,
  name: string,
  group: PruningGroup,
): Tensor {
  const tensor = state.get(name);
  if (!tensor) {
    throw new UsageError(
      `group '${group.name}': names the parameter '${name}', which the model does not have`,
    );
  }
  return tensor;
}

function checkKept(groups: readonly PruningGroup[], kept: KeptUnits): void {
  if (!((kept as unknown) instanceof Map)) {
    throw new UsageError(
      `pruning: got ${shown(kept)} in place of the units to keep, expected a Map of indices by the names of groups.`,
    );
  }
  const known = new Map(groups.map((group) => [group.name, group]));
  for (const [name, units] of kept) {
    const group = known.get(name);
    if (!group) {
      throw new UsageError(
        `pruning: got units of a group '${name}', expected one of ${[...known.keys()].join(', ')}`,
      );
    }
    if (units.length === 0) {
      throw new UsageError(
        `pruning: group '${name}' would end empty. Keep at least one unit, or lower the rate.`,
      );
    }
    units.forEach((unit, i) => {
      const previous = i === 0 ? -1 : (units[i - 1] as number);
      if (!Number.isInteger(unit) || unit <= previous || unit >= group.size) {
        throw new UsageError(
          `pruning: group '${name}' keeps unit ${unit} after ${previous}, expected increasing indices below ${group.size}`,
        );
      }
    });
  }
}
