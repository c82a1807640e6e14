// The budget of a run as a round's cut is held against it, and what has been reached.
import { trainLimits } from '../../limits.js';
import type { ImageModel } from '../../models/image-model.js';
import type { ModelInfo } from '../../models/model-file.js';
import { type WidthCosts, type Widths, widthCosts } from '../../models/width-costs.js';
import type { CostBudget } from '../../pruning/budget/solve.js';
import { budgetNames, limitOf, shareOf } from '../../pruning/budget/amounts.js';
import type { BudgetTarget } from '../../pruning/budget/targets.js';
import { compensationJudges } from '../../pruning/compensation/choices.js';
import { type BudgetKey, askedOf, budgetKeys } from './cost-budget-settings.js';
import { type CompensationFacts, cutStep, finetuneStep } from './history-steps.js';
import type { LatencyTable } from './latency-record.js';
import { latencyAt } from './latency-table.js';
import type { PruningRecord } from './record.js';
import type { ResolvedPruneSettings } from './settings.js';

/** What a budget comes to in a run. */
export type BudgetEntry = NonNullable<PruningRecord['costBudget']>[number];

/** What the costs of a run's models are counted with. */
export interface BudgetCosts {
  /** The model that is cut, or one of the same architecture. */
  readonly model: ImageModel;
  /** Of that model. */
  readonly info: ModelInfo;
  readonly latency?: LatencyTable | undefined;
}

/** The entries of a run that has not cut anything: what is asked, and what there is. */
export function firstEntries(
  { costBudget }: Pick<ResolvedPruneSettings, 'costBudget'>,
  { model, info, latency }: BudgetCosts,
): BudgetEntry[] | undefined {
  if (!costBudget) return undefined;
  const before = costsOf(model, info, () => latency?.denseMs ?? NaN);
  return budgetKeys.flatMap((key) => {
    const told = askedOf(costBudget, key);
    if (told === undefined || (key === 'latency' && !latency)) return [];
    const share = shareOf(told);
    const asked = share === undefined ? told : (`${share}x` as const);
    const now = before[key]();
    const limit = limitOf(budgetNames[key], asked, now);
    return [{ of: key, asked, limit, before: now, reached: now }];
  });
}

/**
 * The budget that a round's cut is held against.
 * @param entries - of the record
 * @param round - counted from 1
 */
export function budgetOfRound(
  entries: readonly BudgetEntry[],
  settings: ResolvedPruneSettings,
  costs: BudgetCosts,
  round: number,
): CostBudget {
  return {
    targets: targetsOf(entries, settings, costs),
    part: round / settings.rounds,
    rounds: settings.rounds - round + 1,
  };
}

/** The targets of a run's entries, for cuts of this model. */
export function targetsOf(
  entries: readonly BudgetEntry[],
  settings: ResolvedPruneSettings,
  { model, info, latency }: BudgetCosts,
): BudgetTarget[] {
  const costs = widthCosts(model);
  const cost: Record<BudgetKey, BudgetTarget['cost']> = {
    macs: costs.macs,
    params: costs.parameters,
    file: fileAtMost(costs, settings, model, info),
    latency: (widths) => (latency ? latencyAt(latency, widthsOf(model, widths)) : NaN),
  };
  return entries.map(({ of, limit }) => ({ name: budgetNames[of], limit, cost: cost[of] }));
}

/** Of all groups. */
const widthsOf = (model: ImageModel, widths: Widths): Widths => ({
  ...Object.fromEntries(model.pruningGroups().map(({ name, size }) => [name, size])),
  ...widths,
});

/** As long as a number can become as text. */
const longNumber = 1.2345678901234567e-100;

/**
 * Bytes of the file of a cut model, at most: its history tells of the cut, and which units are kept stands there as text, whose
 * length depends on the choice. It is counted as if they lay as scattered as they can, some bytes for each unit; a unit's
 * weights are more.
 */
function fileAtMost(
  costs: WidthCosts,
  settings: ResolvedPruneSettings,
  model: ImageModel,
  info: ModelInfo,
): BudgetTarget['cost'] {
  const { rates, rounds: round, recipe, dataset } = settings;
  const groups = model.pruningGroups();
  const before = Object.fromEntries(groups.map(({ name, size }) => [name, size]));
  const dense = denseWidths(info, before);
  const cut = groups.filter(({ name, kind }) => kind in rates || name in dense.kept);
  const longKept = (after: Widths): Record<string, string> =>
    Object.fromEntries(
      cut.map(({ name }) => [
        name,
        'x'.repeat(longestText(after[name] ?? 0, dense.widths[name] ?? 0)),
      ]),
    );
  const { epochs: epoch } = trainLimits;
  const trained = finetuneStep({ round, dataset, epoch, weights: 'model', accuracy: longNumber });
  return (widths) => {
    const after = { ...before, ...widths };
    const step = cutStep(settings, {
      round,
      rates: Object.fromEntries(Object.keys(rates).map((kind) => [kind, longNumber])),
      widthsBefore: before,
      widthsAfter: after,
      kept: longKept(after),
      compensation: longCompensation(settings, groups.length),
    });
    const history = [...info.history, step, ...(recipe.epochs > 0 ? [trained] : [])];
    return costs.fileBytes(widths, { ...info, history });
  };
}

function longCompensation(
  { compensate }: ResolvedPruneSettings,
  groups: number,
): CompensationFacts | undefined {
  if (!compensate) return undefined;
  const { target, images } = compensate;
  return {
    target,
    judge: [...compensationJudges].sort((a, b) => b.length - a.length)[0] ?? '',
    images,
    heldOut: images,
    accuracyBefore: longNumber,
    divergence: { before: longNumber, after: longNumber },
    corrected: groups,
  };
}

/** The widths that the first cut of a model's history found, and the groups that it has cut. */
function denseWidths({ history }: ModelInfo, now: Widths) {
  const cuts = history.filter(({ step }) => step === 'prune');
  const first = (cuts[0]?.['widthsBefore'] ?? {}) as Widths;
  return {
    widths: { ...now, ...first },
    kept: (cuts.at(-1)?.['kept'] ?? {}) as Readonly<Record<string, unknown>>,
  };
}

/**
 * The longest that `count` of `size` units can be as text: of each run of units stand the first and the last, and between
 * two runs one unit is missing.
 */
export function longestText(count: number, size: number): number {
  const digits = String(Math.max(0, size - 1)).length;
  return (digits + 1) * Math.min(count, 2 * (size - count + 1));
}

/** The entries with what a cut has come to. @param costs - with the cut model, and its information */
export function reachedEntries(
  entries: readonly BudgetEntry[] | undefined,
  { model, info, latency }: BudgetCosts,
): BudgetEntry[] | undefined {
  if (!entries) return undefined;
  const reached = costsOf(model, info, () =>
    latency ? latencyAt(latency, widthsOf(model, {})) : NaN,
  );
  return entries.map((entry) => ({ ...entry, reached: reached[entry.of]() }));
}

/** What a model as it is costs, each counted when it is asked for. */
export function costsOf(
  model: ImageModel,
  info: ModelInfo,
  latency = (): number => NaN,
): Record<BudgetKey, () => number> {
  const costs = widthCosts(model);
  return {
    macs: () => costs.macs({}),
    params: () => costs.parameters({}),
    file: () => costs.fileBytes({}, info),
    latency,
  };
}
