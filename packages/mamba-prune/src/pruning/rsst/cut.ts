/** What is deleted when the regularised training is over: the units it drove to zero. */
import type { nn } from '@mamba-prune/libtorch';
import { UsageError } from '../../errors.js';
import { type OptionKinds, requireOptions } from '../../option-checks.js';
import type { KeptUnits, PruningGroup } from '../../models/groups.js';
import { todaysCut } from '../earlier-names.js';
import { checkOwnRates } from '../group-limits.js';
import { checkRates } from '../select-units.js';
import { bestFirst, increasing } from '../selection.js';
import {
  type KindSelectionOptions,
  checkKindSelection,
  kindSelectionKinds,
  selectKinds,
} from '../select-kinds.js';
import { regularizedGroups } from './regularizer.js';
import { measureUnitNorms } from './unit-norms.js';
import type { RegNorm } from './choices.js';

export interface NearZeroOptions {
  readonly norm: RegNorm;
  /** Kinds of groups. */
  readonly targets: readonly string[];
  /** Share of the group's largest norm, 0 up to but not including 1. */
  readonly nearZero: number;
  /** Names of groups that stay whole. By default none. */
  readonly exclude?: readonly string[] | undefined;
}

const nearZeroKinds: OptionKinds<NearZeroOptions> = {
  exclude: 'array',
  norm: 'string',
  targets: 'array',
  nearZero: 'number',
};

/**
 * Keeps the units whose norm is over `nearZero` times the largest of their group. A group of which
 * too few are over it keeps its best, as many as its `fewest`: no group may end empty.
 * @throws UsageError for a share out of range, an unknown target, or norms that are no numbers
 */
export function unitsOverNearZero(
  model: nn.Module,
  groups: readonly PruningGroup[],
  options: NearZeroOptions,
): KeptUnits {
  requireOptions('NearZeroOptions', options, nearZeroKinds);
  const { norm, targets, nearZero, exclude = [] } = options;
  if (!(nearZero >= 0 && nearZero < 1)) {
    throw new UsageError(
      `\`nearZero\`: got ${nearZero}, expected a share of the group's largest norm, from 0 up to but not including 1`,
    );
  }
  const chosen = regularizedGroups(groups, { norm, targets });
  const norms = measureUnitNorms(model, chosen, norm);
  return new Map(
    chosen.map(({ name, size, fewest = 1 }) => {
      if (exclude.includes(name)) return [name, Array.from({ length: size }, (_, unit) => unit)];
      const values = [...(norms.get(name) ?? [])];
      checkFinite(name, values);
      const least = nearZero * Math.max(...values);
      const kept = values.flatMap((value, unit) => (value > least ? [unit] : []));
      if (kept.length >= Math.min(fewest, size)) return [name, kept];
      return [name, increasing(bestFirst(Float64Array.from(values)).slice(0, fewest))];
    }),
  );
}

function checkFinite(group: string, norms: readonly number[]): void {
  const bad = norms.findIndex((norm) => !Number.isFinite(norm));
  if (bad < 0) return;
  throw new UsageError(
    `group '${group}': the norm of unit ${bad} is ${norms[bad]}, expected a finite number. Has the model diverged?`,
  );
}

export interface NormCutOptions extends KindSelectionOptions {
  readonly norm: RegNorm;
}

const normCutKinds: OptionKinds<NormCutOptions> = {
  norm: 'string',
  ...kindSelectionKinds,
};

/**
 * Keeps the units of the largest norms, exactly as many as the rates ask for.
 * @throws UsageError for an unknown kind, or what `selectUnits` refuses
 */
export function unitsByNorm(
  model: nn.Module,
  groups: readonly PruningGroup[],
  given: NormCutOptions,
): KeptUnits {
  const options = todaysCut(given);
  requireOptions('NormCutOptions', options, normCutKinds, ['rates']);
  checkRates('NormCutOptions', options.rates);
  const { norm, ...selection } = options;
  const { rates, rateOf } = selection;
  const chosen = regularizedGroups(groups, { norm, targets: Object.keys(rates) });
  checkOwnRates(groups, Object.keys(rates), rateOf);
  checkKindSelection(chosen, selection);
  const norms = measureUnitNorms(model, chosen, norm);
  return selectKinds(chosen, norms, selection).kept;
}
