/**
 * RSST's regulariser R: the norms of units, added up.
 *
 *     loss = task loss + λ(e) · Σ over groups and units of R(unit)
 */
import type { Tensor, nn } from '@mamba-prune/libtorch';
import { UsageError } from '../../errors.js';
import { type OptionKinds, requireOptions } from '../../option-checks.js';
import { type KeptUnits, type PruningGroup, complement } from '../../models/groups.js';
import { todaysStrength } from '../earlier-names.js';
import { type RegNorm, regNorms } from './choices.js';
import { type UnitSet, sliceGroups, unitNorms } from './unit-slices.js';

export interface RegularizerOptions {
  readonly norm: RegNorm;
  /** Kinds of groups: `ssm`, `mlp` ... */
  readonly targets: readonly string[];
  /**
   * Only these units are regularised (`--reg-units doomed`); groups that are not named are left alone.
   * By default all units of the targets.
   */
  readonly units?: UnitSet | undefined;
}

export const regularizerKinds: OptionKinds<RegularizerOptions> = {
  norm: 'string',
  targets: 'array',
  units: 'any',
};

/** Options of RSST are options of its norm: the same ones say what is pulled, and how hard. */
const rsstNames = {
  ...({ schedule: 'any', strength: 'any', exponent: 'any' } as const),
  ...({ apply: 'any', epochs: 'any' } as const),
};

/**
 * Σ ‖unit‖ over the units of the targets, without λ; differentiable, with a gradient of zero at zero.
 * @param groups - those of the model; others than the targets' are left out
 * @returns 0-d
 * @throws UsageError for a target that the model has no groups of, or units that are none of theirs
 */
export function computeStructuredRegularization(
  model: nn.Module,
  groups: readonly PruningGroup[],
  given: RegularizerOptions,
): Tensor {
  const options = todaysStrength(given);
  requireOptions('RegularizerOptions', options, { ...regularizerKinds, ...rsstNames });
  const { norm } = options;
  const chosen = regularizedGroups(groups, options);
  const slices = sliceGroups(model, chosen, norm);
  const sums = slices.map((sliced) => {
    const norms = unitNorms(sliced, norm);
    const units = options.units?.get(sliced.group.name);
    return (units ? norms.indexSelect(0, units) : norms).sum();
  });
  return sums.reduce((total, sum) => total.add(sum));
}

/**
 * The groups that are regularised: those of the targets, under `units` those with units in it.
 * @throws UsageError for an unknown norm, no targets or unknown ones, or units of other groups
 */
export function regularizedGroups(
  groups: readonly PruningGroup[],
  { norm, targets, units }: RegularizerOptions,
): PruningGroup[] {
  if (!regNorms.includes(norm)) {
    throw new UsageError(`rsst: norm: got '${norm}', expected one of ${regNorms.join(', ')}`);
  }
  const kinds = [...new Set(groups.map(({ kind }) => kind))];
  const unknown = targets.find((target) => !kinds.includes(target));
  if (unknown !== undefined || targets.length === 0) {
    throw new UsageError(
      `rsst: targets: got ${unknown === undefined ? 'none' : `'${unknown}'`}, expected some of ${kinds.join(', ')}, ` +
        'the kinds of groups of this model',
    );
  }
  const chosen = groups.filter(({ kind }) => targets.includes(kind));
  if (!units) return chosen;
  checkUnits(chosen, units);
  const named = chosen.filter(({ name }) => (units.get(name)?.length ?? 0) > 0);
  if (named.length === 0) {
    throw new UsageError(
      'rsst: got no unit to regularise, expected at least one. Raise the rate, or regularise all units.',
    );
  }
  return named;
}

function checkUnits(groups: readonly PruningGroup[], units: UnitSet): void {
  const sizes = new Map(groups.map(({ name, size }) => [name, size]));
  for (const [name, list] of units) {
    const size = sizes.get(name);
    if (size === undefined) {
      throw new UsageError(
        `rsst: units: got units of the group '${name}', expected some of ${[...sizes.keys()].join(', ')}`,
      );
    }
    const bad = list.find((unit, i) => {
      return !Number.isInteger(unit) || unit >= size || unit <= (list[i - 1] ?? -1);
    });
    if (bad !== undefined) {
      throw new UsageError(
        `rsst: units: got unit ${bad} of the group '${name}', expected increasing indices from 0 to ${size - 1}`,
      );
    }
  }
}

/** The units that a choice removes: what `--reg-units doomed` regularises. Groups not named stay whole. */
export function doomedUnits(groups: readonly PruningGroup[], kept: KeptUnits): UnitSet {
  const doomed = new Map<string, readonly number[]>();
  for (const { name, size } of groups) {
    const stays = kept.get(name);
    if (!stays) continue;
    doomed.set(name, complement(stays, size));
  }
  return doomed;
}
