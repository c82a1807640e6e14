// Which units a round keeps.
import type { ImageModel } from '../../models/image-model.js';
import type { KeptUnits } from '../../models/groups.js';
import type { Calibration } from '../../pruning/calibration.js';
import { refillUnits } from '../../pruning/refill.js';
import { measureUnitNorms, unitsByNorm, unitsOverNearZero } from '../../pruning/rsst/index.js';
import type { KindSelectionOptions } from '../../pruning/select-kinds.js';
import type { CostBudget } from '../../pruning/budget/solve.js';
import type { WidthCost } from '../../pruning/budget/targets.js';
import {
  type CutOptions,
  type ScoredUnits,
  groupsOfKinds,
  scoreAndSelect,
} from '../../pruning/select-units.js';
import type { ResolvedPruneSettings } from './settings.js';
import { ratesAfter, ratesOfGroupsAfter } from './rates-after-round.js';

export interface RoundChoice {
  readonly kept: KeptUnits;
  /** Of those, the ones that refill gave back. */
  readonly returned?: KeptUnits;
  /** Of every unit that could have gone, by group name. */
  readonly scores?: ScoredUnits['scores'];
}

/** Scores and selects for a round. */
export async function chooseRoundUnits(
  model: ImageModel,
  settings: ResolvedPruneSettings,
  at: AtRound,
  calibration?: Calibration,
): Promise<RoundChoice> {
  const rates = ratesAfter(settings, at.round);
  const options = cutOptions(settings, rates, at);
  if (settings.refill) {
    const { fillback, score: refillScore, budget } = settings.refill;
    return refillUnits(model, { ...options, fillback, refillScore, budget }, calibration);
  }
  if (!settings.rsst) return scoreAndSelect(model, options, calibration);
  const { norm, nearZero } = settings.rsst;
  const groups = model.pruningGroups();
  const scored = groupsOfKinds(model, Object.keys(rates));
  return {
    scores: measureUnitNorms(model, scored, norm),
    kept:
      nearZero === null
        ? unitsByNorm(model, groups, { norm, ...selectionOf(settings, rates, at) })
        : unitsOverNearZero(model, groups, {
            norm,
            nearZero,
            targets: Object.keys(rates),
            exclude: wholeGroups(settings),
          }),
  };
}

/** What a round's regularised training pushes towards zero: all but these (units `doomed`). */
export function chooseWanted(
  model: ImageModel,
  settings: ResolvedPruneSettings,
  at: AtRound,
  calibration?: Calibration,
): Promise<ScoredUnits> {
  return scoreAndSelect(
    model,
    cutOptions(settings, ratesAfter(settings, at.round), at),
    calibration,
  );
}

/** Where in a run a cut is. */
export interface AtRound {
  /** Widths that the run began with. */
  readonly sizes: Readonly<Record<string, number>>;
  /** Counted from 1. */
  readonly round: number;
  /** What takes the place of rates. */
  readonly costBudget?: CostBudget | undefined;
  /** What `score-per-cost` divides by, where it is not the budget. */
  readonly cost?: WidthCost | undefined;
}

/** @param at - by default a single cut of what the run begins with */
export function cutOptions(
  settings: ResolvedPruneSettings,
  rates: Readonly<Record<string, number>>,
  at?: AtRound,
): CutOptions {
  const { importance, score } = settings;
  return { importance, score, ...selectionOf(settings, rates, at) };
}

function selectionOf(
  settings: ResolvedPruneSettings,
  rates: Readonly<Record<string, number>>,
  at?: AtRound,
): KindSelectionOptions {
  const { ranking, normalize, roundTo, maxRate, rateOf, minWidth, rankBy } = settings;
  return {
    rates,
    ranking,
    normalize,
    roundTo,
    maxRate,
    minWidth,
    rankBy,
    // A budget is solved for the end, and goes its part of the way from there.
    rateOf: at && !at.costBudget ? ratesOfGroupsAfter(settings, at.round) : rateOf,
    ...(at && { sizes: at.sizes, costBudget: at.costBudget, cost: at.cost }),
  };
}

/** Names of the groups that are to stay as they are. */
export const wholeGroups = ({ rateOf = {} }: Pick<ResolvedPruneSettings, 'rateOf'>): string[] =>
  Object.keys(rateOf).filter((name) => rateOf[name] === 0);
