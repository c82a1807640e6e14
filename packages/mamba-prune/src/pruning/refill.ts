// Refill: cut, then give back the units most worth having given what was kept (after Chen et al.
// 2022, "Coarsening the Granularity", arXiv 2202.04736, moved from weights to whole units).
import { shown } from '../checks.js';
import { UsageError } from '../errors.js';
import type { ImageModel } from '../models/image-model.js';
import { type OptionKinds, requireOptions } from '../option-checks.js';
import type { KeptUnits } from '../models/groups.js';
import { asTargets } from './budget/check-targets.js';
import type { BudgetSolution } from './budget/solve.js';
import type { Calibration } from './calibration.js';
import { todaysCut } from './earlier-names.js';
import { gateGradients } from './measure.js';
import type { PruningResult } from './oneshot.js';
import {
  type CutOptions,
  checkRates,
  cutKinds,
  groupsOfKinds,
  scoreAndSelect,
} from './select-units.js';
import {
  type RefillBudget,
  type RefillScore,
  refillBudgets,
  refillScores,
} from './refill-choices.js';
import { requireProbe } from './score-units.js';
import { bestFirst, checkChoice, checkScores, increasing, roundUp } from './selection.js';
import { pruneModel } from './surgery.js';

export interface RefillOptions extends CutOptions {
  /** Share f of the removed units that returns, in [0, 1]. */
  readonly fillback: number;
  /**
   * `magnitude` (the default): the scores of the first cut. `gradient`: |dL/dg| at g = 0 of a gate
   * g on each removed unit with the kept units in place, on the calibration data.
   */
  readonly refillScore?: RefillScore | undefined;
  /** Default `add`. */
  readonly budget?: RefillBudget | undefined;
}

const refillKinds: OptionKinds<RefillOptions> = {
  fillback: 'number',
  refillScore: 'string',
  budget: 'string',
  ...cutKinds,
};

export interface RefillChoice {
  /** After refilling. */
  readonly kept: KeptUnits;
  /** What the first cut kept. */
  readonly selected: KeptUnits;
  /** What came back; `kept` is `selected` and `returned` together. */
  readonly returned: KeptUnits;
  /** Of every unit, those of the first cut. */
  readonly scores: ReadonlyMap<string, Float64Array>;
  /** Of a cost budget, which the model with the returned units keeps to. */
  readonly solution?: BudgetSolution | undefined;
}

export type CountOptions = Pick<RefillOptions, 'fillback' | 'budget' | 'roundTo'>;

export interface RefillCounts {
  /** Units that the first cut keeps. */
  readonly first: number;
  /** Units after refilling. */
  readonly final: number;
}

/**
 * How many units of a group the two steps leave.
 *
 * Under `add` the first cut keeps the n units of the rate, and k = floor(n + (C - n) f) survive,
 * rounded up to a multiple of `roundTo`.
 *
 * Under `keep` the end is n units, so the first cut keeps an m with floor(m + (C - m) f) = n. As
 * m + (C - m) f = m (1 - f) + C f, the smallest such m is ceil((n - C f) / (1 - f)). The left side
 * grows by 1 - f <= 1 for each unit of m, so the floor skips no number and an m exists as long as
 * n >= floor(1 - f + C f). A group that is cut further than that (n / C below about f) cannot
 * regain the share f and still end with n: it keeps one unit in the first cut and regains n - 1.
 *
 * @param size - units C of the group
 * @param target - units n that the rate asks for, from 1 to C
 */
export function refillCounts(
  size: number,
  target: number,
  { fillback, budget = 'add', roundTo = 1 }: CountOptions,
): RefillCounts {
  // Sums such as 2 + 100 * 0.29 = 30.999999999999996 must not lose a unit to rounding.
  const tiny = 1e-9;
  if (budget === 'add') {
    const final = Math.floor(target + (size - target) * fillback + tiny);
    return { first: target, final: roundUp(final, roundTo, size) };
  }
  const exact = fillback < 1 ? (target - size * fillback) / (1 - fillback) : 1;
  return { first: target === size ? size : Math.max(1, Math.ceil(exact - tiny)), final: target };
}

/**
 * Chooses units in two steps: the best at the given rates, then the ones to bring back.
 *
 * Under global ranking n is each group's own number of units kept by that ranking. The units of the
 * first cut are the best n (or, under budget `keep`, m) of the group. With the refill score
 * `magnitude` and the budget `keep` the result is that of plain pruning.
 *
 * @param calibration - needed for the refill score gradient, and where the first scores need it
 * @throws UsageError for a fillback rate outside [0, 1], and what `chooseUnits` refuses; all before
 *   any pass over data
 */
export async function refillUnits(
  model: ImageModel,
  given: RefillOptions,
  calibration?: Calibration,
): Promise<RefillChoice> {
  const options = todaysCut(given);
  requireOptions('RefillOptions', options, refillKinds, ['rates', 'fillback']);
  checkRates('RefillOptions', options.rates);
  checkRefill(model, options, calibration);
  const { fillback, refillScore = 'magnitude', budget, ...cut } = options;
  const { roundTo } = cut;
  const counts = { fillback, budget, roundTo };
  // What a budget is held against is the model with the units that return.
  const final = (size: number, n: number): number => refillCounts(size, n, counts).final;
  const { costBudget } = cut;
  const told = costBudget
    ? { ...cut, costBudget: { ...asTargets(model, costBudget), final } }
    : cut;
  const { groups, scores, kept: target, solution } = await scoreAndSelect(model, told, calibration);
  const plan = groups.map((group) => {
    const n = unitsOf(target, group.name).length;
    const { first, final: most } = refillCounts(group.size, n, counts);
    const ranked = bestFirst(scores.get(group.name) as Float64Array);
    return { name: group.name, stay: increasing(ranked.slice(0, first)), room: most - first };
  });
  const selected: KeptUnits = new Map(plan.map(({ name, stay }) => [name, stay]));
  const worth =
    refillScore === 'gradient'
      ? await gateGradients(model, groups, selected, calibration as Calibration)
      : scores;
  const returned = new Map(
    plan.map(({ name, stay, room }) => {
      const values = worth.get(name) as Float64Array;
      checkScores(name, values);
      const inside = new Set(stay);
      const removed = bestFirst(values).filter((unit) => !inside.has(unit));
      return [name, increasing(removed.slice(0, room))];
    }),
  );
  const kept = new Map(
    plan.map(({ name, stay }) => [name, increasing([...stay, ...unitsOf(returned, name)])]),
  );
  return { kept, selected, returned, scores, ...(solution && { solution }) };
}

/**
 * Prunes with refill; the units that return have the weights that they had.
 * @throws what `refillUnits` throws
 */
export async function pruneWithRefill(
  model: ImageModel,
  options: RefillOptions,
  calibration?: Calibration,
): Promise<PruningResult & RefillChoice> {
  const choice = await refillUnits(model, options, calibration);
  return { model: pruneModel(model, choice.kept), ...choice };
}

/**
 * Finds what is wrong with the options that refill adds to a cut, without scoring anything.
 * @param names - what they are called where they were given
 * @throws UsageError
 */
export function checkRefill(
  model: ImageModel,
  {
    fillback,
    refillScore = 'magnitude',
    budget = 'add',
    rates,
  }: Pick<RefillOptions, 'fillback' | 'refillScore' | 'budget' | 'rates'>,
  calibration: Calibration | undefined,
  names = { score: '`refillScore`', budget: '`budget`' },
): void {
  if (!(fillback >= 0 && fillback <= 1)) {
    throw new UsageError(
      `fillback: got ${shown(fillback)}, expected the share of the removed units that returns, from 0 (none) to 1 (all)`,
    );
  }
  checkChoice(names.score, refillScore, refillScores);
  checkChoice(names.budget, budget, refillBudgets);
  if (refillScore !== 'gradient') return;
  requireProbe(
    `${names.score} gradient`,
    groupsOfKinds(model, Object.keys(rates)),
    `Use ${names.score} magnitude`,
  );
  if (!calibration) {
    throw new UsageError(
      `${names.score} gradient: got no images, expected batches of real data. Give a data set, or use ${names.score} magnitude.`,
    );
  }
}

const unitsOf = (units: KeptUnits, group: string): readonly number[] =>
  units.get(group) as readonly number[];
