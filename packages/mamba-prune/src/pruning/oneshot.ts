import type { ImageModel } from '../models/image-model.js';
import { UsageError } from '../errors.js';
import type { KeptUnits, PruningGroup } from './groups.js';
import { type ImportanceNorm, groupImportance } from './importance.js';
import { type SelectionOptions, selectUnits } from './selection.js';
import { pruneModel } from './surgery.js';

export interface OneShotOptions extends Omit<SelectionOptions, 'rate'> {
  readonly importance: ImportanceNorm;
  /** Fraction of units to remove of each kind of group: `{ ssm: 0.7, mlp: 0.7 }`. */
  readonly rates: Readonly<Record<string, number>>;
}

export interface PruningResult {
  readonly model: ImageModel;
  readonly kept: KeptUnits;
}

/**
 * Scores every unit, keeps the best, and cuts the rest out, once.
 * @throws UsageError for a kind that the model has no groups of, or a rate outside [0, 1)
 */
export function pruneOneShot(model: ImageModel, options: OneShotOptions): PruningResult {
  const kept = chooseUnits(model, options);
  return { model: pruneModel(model, kept), kept };
}

/** The units that `pruneOneShot` would keep. */
export function chooseUnits(model: ImageModel, options: OneShotOptions): KeptUnits {
  const groups = model.pruningGroups();
  const kinds = groupByKind(groups);
  const { rates, importance, ...selection } = options;
  const kept = new Map<string, readonly number[]>();
  for (const [kind, rate] of Object.entries(rates)) {
    const members = kinds.get(kind);
    if (!members) {
      throw new UsageError(
        `pruning target: got '${kind}', expected one of ${[...kinds.keys()].join(', ')}, the kinds of groups of ${model.config.arch}`,
      );
    }
    const scores = groupImportance(members, model.stateDict(), importance);
    for (const [name, units] of selectUnits(members, scores, { ...selection, rate })) {
      kept.set(name, units);
    }
  }
  return kept;
}

function groupByKind(groups: readonly PruningGroup[]): Map<string, PruningGroup[]> {
  const kinds = new Map<string, PruningGroup[]>();
  for (const group of groups) {
    const list = kinds.get(group.kind);
    if (list) list.push(group);
    else kinds.set(group.kind, [group]);
  }
  return kinds;
}
