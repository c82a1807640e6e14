// From a model and rates to the units that stay.
import { UsageError } from '../errors.js';
import type { ImageModel } from '../models/image-model.js';
import { widthCosts } from '../models/width-costs.js';
import { requirePrunable } from '../models/require-model.js';
import type { KeptUnits, PruningGroup } from '../models/groups.js';
import { type OptionKinds, requireOptions } from '../option-checks.js';
import type { Calibration } from './calibration.js';
import { todaysCut } from './earlier-names.js';
import { checkOwnRates } from './group-limits.js';
import { checkImportance } from './importances.js';
import { type ScoreOptions, scoreKinds, scoreUnits } from './score-units.js';
import type { BudgetAmounts } from './budget/amounts.js';
import { asTargets } from './budget/check-targets.js';
import type { BudgetSolution, CostBudget } from './budget/solve.js';
import {
  type KindSelectionOptions,
  checkKindSelection,
  kindSelectionKinds,
  selectKinds,
} from './select-kinds.js';

export interface CutOptions extends Omit<KindSelectionOptions, 'costBudget'>, ScoreOptions {
  /**
   * In place of rates, which then are 0 and name the kinds: what the model may cost at most, as amounts
   * (`{ macs: '0.5x', params: 3e6 }`), or as targets of one's own.
   */
  readonly costBudget?: BudgetAmounts | CostBudget | undefined;
}

export const cutKinds: OptionKinds<CutOptions> = { ...scoreKinds, ...kindSelectionKinds };

/** Options of a refill are options of a cut: the same ones say what the cut alone would have kept. */
const refillNames = { fillback: 'any', refillScore: 'any', budget: 'any' } as const;

/** Units with their scores, and those that a cut keeps. */
export interface ScoredUnits {
  /** Of the kinds that have a rate, in the order of the network. */
  readonly groups: readonly PruningGroup[];
  readonly scores: ReadonlyMap<string, Float64Array>;
  readonly kept: KeptUnits;
  /** Of a budget. */
  readonly solution?: BudgetSolution | undefined;
}

/**
 * The units that a cut at the given rates keeps: per kind, those with the best scores. Groups come in
 * the order of the network.
 *
 * @param calibration - needed for importances and scores that look at images; with it, and without an
 *   importance, that is taylor (`defaultImportance`)
 * @throws UsageError for a kind that the model has no groups of, a rate outside [0, 1), or scores
 *   that need data where there are none; all before any pass over data
 */
export async function chooseUnits(
  model: ImageModel,
  options: CutOptions,
  calibration?: Calibration,
): Promise<KeptUnits> {
  requirePrunable('chooseUnits', model);
  return (await scoreAndSelect(model, options, calibration)).kept;
}

/** `chooseUnits`, with the scores that it went by. */
export async function scoreAndSelect(
  model: ImageModel,
  given: CutOptions,
  calibration?: Calibration,
): Promise<ScoredUnits> {
  const options = todaysCut(given);
  requireOptions('CutOptions', options, { ...cutKinds, ...refillNames }, ['rates']);
  checkRates('CutOptions', options.rates);
  const { importance, score, costBudget, ...rest } = cutOptionsOf(options);
  const selection: KindSelectionOptions = {
    ...rest,
    ...(costBudget && { costBudget: asTargets(model, costBudget) }),
  };
  const { rates } = selection;
  const kinds = Object.keys(rates);
  const groups = groupsOfKinds(model, kinds);
  if (typeof importance === 'string') checkImportance(importance);
  checkOwnRates(model.pruningGroups(), kinds, selection.rateOf);
  checkKindSelection(groups, selection);
  const scores = await scoreUnits(model, groups, { importance, score }, calibration);
  const isPerCost = selection.rankBy === 'score-per-cost';
  const cost = selection.cost ?? (isPerCost ? widthCosts(model).macs : undefined);
  return { groups, scores, ...selectKinds(groups, scores, { ...selection, cost }) };
}

/** Without what refill adds. */
function cutOptionsOf(options: CutOptions): CutOptions {
  const known = Object.keys(cutKinds);
  const entries = Object.entries(options).filter(([name]) => known.includes(name));
  return Object.fromEntries(entries) as unknown as CutOptions;
}

/** @throws UsageError for none, with which a cut would remove nothing and say nothing */
export function checkRates(where: string, rates: Readonly<Record<string, number>>): void {
  if (Object.keys(rates).length > 0) return;
  throw new UsageError(
    `${where}: got no rates, expected one for each kind of groups to cut, such as { ssm: 0.7 }.`,
  );
}

/** @throws UsageError for a kind that the model has no groups of */
export function groupsOfKinds(model: ImageModel, kinds: readonly string[]): PruningGroup[] {
  const groups = model.pruningGroups();
  const known = new Set(groups.map(({ kind }) => kind));
  for (const kind of kinds) {
    if (!known.has(kind)) {
      throw new UsageError(
        `pruning target: got '${kind}', expected one of ${[...known].join(', ')}, the kinds of groups of ${model.config.arch}`,
      );
    }
  }
  return groups.filter(({ kind }) => kinds.includes(kind));
}

/** The kinds of a model's groups that "everything" means: those not marked `optional`. */
export function defaultKinds(model: ImageModel): string[] {
  const groups = model.pruningGroups().filter(({ optional }) => !optional);
  return [...new Set(groups.map(({ kind }) => kind))];
}
