// From measured curves to a rate for each group: the least predicted loss that meets a budget.
import { checksOf } from '../../checks.js';
import { UsageError } from '../../errors.js';
import type { Widths } from '../../models/width-costs.js';
import { type OptionKinds, requireOptions } from '../../option-checks.js';
import { sum } from '../../statistics.js';
import type { WidthCost } from '../budget/targets.js';
import { type MinWidth, checkGroupLimits, leastUnits } from '../group-limits.js';
import {
  type CostMetric,
  type CurvePoint,
  costMetrics,
  curveAt,
  curveOf,
  lowerEnvelope,
  predictedLoss,
  slope,
} from './curve.js';
import { type PartSensitivity, type Sensitivity, isComplete } from './measure.js';
import { widthsAt } from './parts.js';

/** What a cut has to reach. */
export interface CostLimit {
  /** What is counted: units of the measured groups, or multiply-accumulates or parameters of the whole model. */
  readonly metric: CostMetric;
  /** What is left at most, in units, multiply-accumulates of one image, or numbers. */
  readonly most: number;
}

export interface RatesFromSensitivityOptions extends CostLimit {
  /**
   * What a model of such widths costs, in what `metric` counts; groups without a width stay whole. Not needed for units, which are
   * counted.
   */
  readonly costOf?: WidthCost | undefined;
  /** Largest share that one group may lose. By default the largest rate that was measured. */
  readonly maxRate?: number | undefined;
  /** The least units that every group keeps. Default `1`. */
  readonly minWidth?: MinWidth | undefined;
  /** With which messages begin. By default the name of the function. */
  readonly where?: string | undefined;
  /** Round the units kept of each group up to a multiple of this. By default as it was measured. */
  readonly roundTo?: number | undefined;
}

const optionKinds: OptionKinds<RatesFromSensitivityOptions> = {
  metric: 'string',
  most: 'number',
  costOf: 'function',
  maxRate: 'number',
  roundTo: 'number',
  minWidth: ['number', 'string'],
  where: 'string',
};

/** A rate for each group, and what they promise. */
export interface AllocatedRates {
  /** Share to remove, by group name. */
  readonly rates: Readonly<Record<string, number>>;
  /** Units left, by group name. */
  readonly widths: Widths;
  /** Loss of the cut model if the increases of its parts add up. */
  readonly predictedLoss: number;
  /** What the cut model costs. */
  readonly cost: number;
}

const shownCost = (value: number): string => Math.floor(value).toLocaleString('en-US');

/** From one point of a part's envelope to the next. */
interface Step {
  readonly part: PartSensitivity;
  readonly from: CurvePoint;
  readonly to: CurvePoint;
}

/**
 * Chooses a rate for each group so that the predicted loss is least and the budget is met. The prediction is the sum of the
 * increases that were measured part by part. On their lower convex envelopes the steps of least loss per saved cost are taken
 * one after another (Everett 1963: each prefix of them solves the problem for the budget that it meets), the last one
 * only as far as is needed, to a unit.
 *
 * @param sensitivity - complete
 * @throws UsageError for a measurement that is not complete, options out of range, or a budget that the measured rates do
 *   not reach
 */
export function ratesFromSensitivity(
  sensitivity: Sensitivity,
  options: RatesFromSensitivityOptions,
): AllocatedRates {
  requireOptions('ratesFromSensitivity', options, optionKinds, ['metric', 'most']);
  const { metric, most, costOf = unitsOf(sensitivity), where = 'ratesFromSensitivity' } = options;
  const { number, integer, oneOf } = checksOf(where);
  oneOf('metric', metric, costMetrics);
  number('most', most, { above: 0 });
  if (metric !== 'units' && options.costOf === undefined) {
    throw new UsageError(
      `${where}: got metric ${metric} without \`costOf\`, expected both. A target of budgetTargets has such a function, its \`cost\`.`,
    );
  }
  if (!isComplete(sensitivity)) {
    throw new UsageError(
      `${where}: got a measurement that is not complete, expected a point of every part at every rate. Finish it first.`,
    );
  }
  const largest = Math.max(...sensitivity.rates);
  const maxRate = number('maxRate', options.maxRate ?? largest, { above: 0, max: 1 });
  const roundTo = integer('roundTo', options.roundTo ?? sensitivity.roundTo, { min: 1 });
  const { parts } = sensitivity;
  const { minWidth } = options;
  checkGroupLimits({ minWidth });
  const steps = stepsOf(parts, sensitivity, metric, maxRate);
  const widthsAfter = (count: number, share = 0, least = minWidth): Widths => {
    const reached = new Map(parts.map(({ name }) => [name, 0]));
    for (const { part, to } of steps.slice(0, count)) reached.set(part.name, to.rate);
    const last = share > 0 ? steps[count] : undefined;
    if (last) {
      const { part, from, to } = last;
      reached.set(part.name, from.rate + share * (to.rate - from.rate));
    }
    return Object.fromEntries(
      parts.flatMap((part) =>
        Object.entries(widthsAt(part, reached.get(part.name) ?? 0, roundTo)).map(
          ([group, width]) => [group, Math.max(width, leastUnits(part.groups[group] ?? 1, least))],
        ),
      ),
    );
  };
  const meets = (count: number, share?: number): boolean =>
    costOf(widthsAfter(count, share)) <= most;

  if (!meets(steps.length)) {
    const least = costOf(widthsAfter(steps.length));
    // Which of the two holds groups back: what it would be without the least width.
    const isWidth = minWidth !== undefined && least > costOf(widthsAfter(steps.length, 0, 1));
    const cause = isWidth ? `, or keeps the least that it may (\`minWidth\` ${minWidth})` : '';
    const remedy = isWidth ? 'Lower `minWidth`, measure' : 'Measure';
    throw new UsageError(
      `${where}: got a budget of ${shownCost(most)} ${metric}, expected at least ${shownCost(least)}, which are left when every group loses ` +
        `${Math.min(maxRate, largest)} of its units, the most that was measured or allowed${cause}. ${remedy} higher rates, or cut less.`,
    );
  }
  const whole = firstTrue(0, steps.length, (count) => meets(count));
  // The step before is the one that is not taken whole; its largest group decides how finely it is divided.
  const last = steps[whole - 1];
  const fine = last ? Math.max(...Object.values(last.part.groups)) : 0;
  const share = last ? firstTrue(1, fine, (part) => meets(whole - 1, part / fine)) / fine : 0;
  const widths = last ? widthsAfter(whole - 1, share) : widthsAfter(0);
  return {
    rates: ratesOfWidths(parts, widths),
    widths,
    predictedLoss: predictedLoss(sensitivity, widths),
    cost: costOf(widths),
  };
}

/** Share of each group that is gone. */
export function ratesOfWidths(
  parts: readonly PartSensitivity[],
  widths: Widths,
): Record<string, number> {
  return Object.fromEntries(
    parts.flatMap(({ groups }) =>
      Object.entries(groups).map(([name, size]) => [name, 1 - (widths[name] ?? size) / size]),
    ),
  );
}

/** Counts the units of all measured groups. */
export const unitsOf =
  ({ parts }: Sensitivity) =>
  (widths: Widths): number =>
    sum(
      parts.flatMap(({ groups }) =>
        Object.entries(groups).map(([name, size]) => widths[name] ?? size),
      ),
    );

/** The steps of all parts, those of least loss per saved cost first; of one part in their order. */
function stepsOf(
  parts: readonly PartSensitivity[],
  { dense }: Sensitivity,
  metric: CostMetric,
  maxRate: number,
): Step[] {
  const steps = parts.flatMap((part) => {
    const hull = lowerEnvelope(upTo(curveOf(part, dense, metric), maxRate));
    return hull.slice(1).map((to, i): Step => ({ part, from: hull[i] as CurvePoint, to }));
  });
  return steps.sort((a, b) => slope(a.from, a.to) - slope(b.from, b.to));
}

/** A curve that ends at a rate, with a point there. */
function upTo(curve: readonly CurvePoint[], maxRate: number): CurvePoint[] {
  const within = curve.filter(({ rate }) => rate <= maxRate);
  const next = curve[within.length];
  const last = within.at(-1);
  if (!next || !last || last.rate >= maxRate) return within;
  return [...within, curveAt(curve, maxRate)];
}

/** The first whole number from `low` to `high` for which a condition holds that stays true once it is; `high` if none before. */
export function firstTrue(low: number, high: number, holds: (n: number) => boolean): number {
  let [from, to] = [low, high];
  while (from < to) {
    const middle = Math.floor((from + to) / 2);
    if (holds(middle)) to = middle;
    else from = middle + 1;
  }
  return from;
}
