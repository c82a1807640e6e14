// What every search for rates begins from: the rates that need no search.
import { type Widths, widthCosts } from '../../models/width-costs.js';
import type { WidthCost } from '../../pruning/budget/targets.js';
import type { ImageModel } from '../../models/image-model.js';
import {
  type CostLimit,
  firstTrue,
  ratesFromSensitivity,
  unitsOf,
} from '../../pruning/sensitivity/allocate.js';
import type { Sensitivity } from '../../pruning/sensitivity/measure.js';
import { widthsAt } from '../../pruning/sensitivity/parts.js';
import { selectUnits } from '../../pruning/selection.js';
import { type SearchProblem, type Start } from './problem.js';

export interface StartOptions extends Pick<
  SearchProblem,
  'sensitivity' | 'budget' | 'maxRate' | 'costOf'
> {
  /** Of every unit, by group name. */
  readonly scores: ReadonlyMap<string, Float64Array>;
}

/**
 * One rate for all groups; the widths that the ranking of all units across the groups of a kind leaves; and what the measured
 * curves say. Each is the least cut of its way that meets the budget; one that cannot meet it is left out.
 * @throws UsageError if the measured rates do not reach the budget
 */
export function startsOf(
  model: ImageModel,
  { sensitivity, scores, budget, maxRate, costOf }: StartOptions,
): Start[] {
  const { parts, roundTo } = sensitivity;
  const solved = ratesFromSensitivity(sensitivity, { ...budget, costOf, maxRate, where: 'search' });
  const ways: readonly (readonly [string, (rate: number) => Widths])[] = [
    ['uniform', (rate) => uniformWidths(parts, rate, roundTo)],
    ['global ranking', (rate) => globalWidths(model, sensitivity, scores, rate)],
  ];
  const least = ways.map(([name, widthsOf]) => ({
    name,
    widths: leastCut(budget, costOf, widthsOf),
  }));
  return [
    ...least.flatMap(({ name, widths }) => (widths ? [{ name, widths }] : [])),
    { name: 'sensitivity', widths: solved.widths },
  ];
}

/** Rates are tried in thousandths. */
const thousandths = 1000;

/** The widths of the smallest rate that meets the budget; undefined if none does. */
function leastCut(
  { most }: CostLimit,
  costOf: WidthCost,
  widthsOf: (rate: number) => Widths,
): Widths | undefined {
  const meets = (n: number): boolean => costOf(widthsOf(n / thousandths)) <= most;
  const least = firstTrue(0, thousandths - 1, meets);
  return meets(least) ? widthsOf(least / thousandths) : undefined;
}

function uniformWidths(parts: Sensitivity['parts'], rate: number, roundTo: number): Widths {
  return Object.fromEntries(parts.flatMap((part) => Object.entries(widthsAt(part, rate, roundTo))));
}

/** As `prune` cuts without anything being said: the units of a kind are ranked across its groups. */
function globalWidths(
  model: ImageModel,
  { parts, roundTo }: Sensitivity,
  scores: ReadonlyMap<string, Float64Array>,
  rate: number,
): Widths {
  const names = new Set(parts.flatMap(({ groups }) => Object.keys(groups)));
  const groups = model.pruningGroups().filter(({ name }) => names.has(name));
  const kinds = [...new Set(groups.map(({ kind }) => kind))];
  const kept = kinds.flatMap((kind) => {
    const ofKind = groups.filter((group) => group.kind === kind);
    return [...selectUnits(ofKind, scores, { rate, ranking: 'global', roundTo })];
  });
  return Object.fromEntries(kept.map(([name, units]) => [name, units.length]));
}

/** What a model of such widths costs, exactly. */
export function costOfModel(
  model: ImageModel,
  sensitivity: Sensitivity,
  { metric }: Pick<CostLimit, 'metric'>,
): WidthCost {
  if (metric === 'units') return unitsOf(sensitivity);
  const costs = widthCosts(model);
  return (widths) => costs[metric](widths);
}
