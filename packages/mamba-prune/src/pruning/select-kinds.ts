// From the scores of all kinds to the units that stay: by rates, or by a budget.
import { UsageError } from '../errors.js';
import type { KeptUnits, PruningGroup } from '../models/groups.js';
import { type OptionKinds, requireOptions } from '../option-checks.js';
import { type CostBudget, type BudgetSolution, checkReach, solveInPools } from './budget/solve.js';
import { checkTargets } from './budget/check-targets.js';
import type { BudgetTarget, WidthCost } from './budget/targets.js';
import { type RankMeasure, countsIn, poolsOf, rankMeasures } from './ranking.js';
import {
  type SelectionOptions,
  bestUnits,
  checkChoice,
  checkSelection,
  selectionKinds,
} from './selection.js';

export interface KindSelectionOptions extends Omit<SelectionOptions, 'rate'> {
  /** Fraction of units to remove of each kind of group: `{ ssm: 0.7, mlp: 0.7 }`. Under a budget 0: they name the kinds. */
  readonly rates: Readonly<Record<string, number>>;
  /** In place of rates: what the model may cost at most. `budgetTargets` makes the targets of amounts. */
  readonly costBudget?: CostBudget | undefined;
  /** `score-per-cost` divides scores by what the removal of a unit saves, and ranks all kinds together. Default `score`. */
  readonly rankBy?: RankMeasure | undefined;
  /** What `score-per-cost` divides by. By default the target that asks for the smallest share; MACs without a budget. */
  readonly cost?: WidthCost | undefined;
}

export const kindSelectionKinds: OptionKinds<KindSelectionOptions> = {
  rates: 'object',
  costBudget: 'object',
  rankBy: 'string',
  cost: 'function',
  ...selectionKinds,
};

/**
 * Finds what is wrong with the options before anything is scored.
 * @param groups - of the kinds that have a rate
 * @throws UsageError for what `selectUnits` refuses, rates beside a budget, or a budget out of reach
 */
export function checkKindSelection(
  groups: readonly PruningGroup[],
  options: KindSelectionOptions,
): void {
  const { rates, costBudget, rankBy = 'score' } = options;
  for (const [kind, rate] of Object.entries(rates)) checkSelection({ ...options, rate }, kind);
  checkChoice('`rankBy`', rankBy, rankMeasures);
  if (rankBy === 'score-per-cost' && options.ranking === 'layer') {
    throw new UsageError(
      '`rankBy` score-per-cost: got `ranking` layer, expected global: all units of a group cost the same, so that it ' +
        'would change nothing.',
    );
  }
  if (!costBudget) return;
  const own = Object.entries(rates).find(([, rate]) => rate !== 0);
  if (own) {
    throw new UsageError(
      `budget: got the rate ${own[1]} of ${own[0]} too, expected 0: the budget takes the place of rates.`,
    );
  }
  checkTargets(groups, costBudget);
  checkReach(groups, options, costBudget);
}

export interface KindSelection {
  readonly kept: KeptUnits;
  /** Of a budget. */
  readonly solution?: BudgetSolution | undefined;
}

/**
 * @param groups - of the kinds that have a rate, in the order of the network
 * @param scores - per group name, one score per unit; larger is better
 * @throws UsageError for scores that are no numbers, or a budget out of reach
 */
export function selectKinds(
  groups: readonly PruningGroup[],
  scores: ReadonlyMap<string, ArrayLike<number>>,
  { costBudget, cost, rankBy, ...options }: KindSelectionOptions,
): KindSelection {
  const pools = poolsOf(groups, scores, {
    ...options,
    rankBy,
    cost: cost ?? (costBudget && tightest(groups, costBudget.targets).cost),
  });
  const solution = costBudget && solveInPools(pools, options, costBudget);
  const counts = solution?.counts ?? countsIn(pools, options);
  const best = bestUnits(
    pools.flatMap(({ ranked }) => ranked),
    counts,
  );
  // Pools go kind by kind, groups in the order of the network.
  const kept = new Map(groups.map(({ name }) => [name, best.get(name) ?? []]));
  return { kept, ...(solution && { solution }) };
}

/** Options of a cut with a cost budget. */
export type SolveOptions = KindSelectionOptions &
  Required<Pick<KindSelectionOptions, 'costBudget'>>;

/**
 * Solves a cost budget for scores that are there already; `chooseUnits` makes them, and takes the same options. The
 * model of the units kept is the largest of its ranking that is above none of the targets.
 *
 * @param groups - of the model, those of the kinds that are to be cut
 * @param scores - per group name, one score per unit; larger is better
 * @param options - with `rates` of 0 for each of the kinds
 * @returns the units that stay, and what the targets come to
 * @throws UsageError for a budget out of reach, with the least that can be reached; for rates other than 0; and for
 *   what `selectUnits` refuses
 */
export function solveBudget(
  groups: readonly PruningGroup[],
  scores: ReadonlyMap<string, ArrayLike<number>>,
  options: SolveOptions,
): KindSelection & { readonly solution: BudgetSolution } {
  requireOptions('solveBudget', options, kindSelectionKinds, ['rates', 'ranking', 'costBudget']);
  checkKindSelection(groups, options);
  const { kept, solution } = selectKinds(groups, scores, options);
  if (!solution) throw new Error('solveBudget: no solution'); // There is a budget.
  return { kept, solution };
}

/** The target that leaves the smallest share of what there is. */
function tightest(groups: readonly PruningGroup[], targets: readonly BudgetTarget[]): BudgetTarget {
  const now = Object.fromEntries(groups.map(({ name, size }) => [name, size]));
  const share = ({ cost, limit }: BudgetTarget): number => limit / cost(now);
  return targets.reduce((a, b) => (share(b) < share(a) ? b : a));
}
