// The greedy search: again and again the part is cut further whose next step costs least loss per saved cost.
import type { Widths } from '../../models/width-costs.js';
import { firstTrue, unitsOf } from '../../pruning/sensitivity/allocate.js';
import { type CurvePoint, curveAt, curveOf, slope } from '../../pruning/sensitivity/curve.js';
import type { MeasuredModel, PartSensitivity } from '../../pruning/sensitivity/measure.js';
import { widthsAt } from '../../pruning/sensitivity/parts.js';
import { type SearchProblem, TimeOver } from './problem.js';

/** Share of a part that a step removes. */
const stepShare = 0.1;
/**
 * Parts that are measured again before a step is taken. A cut elsewhere mostly makes a step cost more, so the first that is
 * still best when it is measured anew is the best (Minoux 1978); where costs fall too, this bounds the work.
 */
const mostMeasured = 4;

/** A part with its next step. */
interface Lane {
  readonly part: PartSensitivity;
  readonly curve: readonly CurvePoint[];
  /** Share that is gone. */
  rate: number;
  /** Loss per saved cost of its next step, as it was last measured. */
  price: number;
  /** The model with that step; undefined since another step was taken. */
  found: MeasuredModel | undefined;
}

/**
 * @returns widths that meet the budget
 * @throws TimeOver with the widths that the prices known by then lead to
 */
export async function greedy(problem: SearchProblem): Promise<Widths> {
  const { sensitivity, budget, maxRate, costOf, measure } = problem;
  const { dense, parts, roundTo } = sensitivity;
  const countUnits = unitsOf(sensitivity);
  const lanes = parts.map((part): Lane => {
    const curve = curveOf(part, dense, budget.metric);
    return { part, curve, rate: 0, price: Infinity, found: undefined };
  });
  const widthsWith = (changed?: Lane, rate = 0): Widths =>
    Object.fromEntries(
      lanes.flatMap((lane) =>
        Object.entries(widthsAt(lane.part, lane === changed ? rate : lane.rate, roundTo)),
      ),
    );
  const costFound = (found: MeasuredModel, widths: Widths): number =>
    budget.metric === 'units' ? countUnits(widths) : found[budget.metric];
  const next = ({ part, rate }: Lane): number | undefined =>
    nextRate(part, { rate, maxRate, roundTo });
  for (const lane of lanes) lane.price = measuredPrice(lane, next(lane));

  /** The last step only as far as is needed, to a unit. */
  const trimmed = (lane: Lane, to: number): Widths => {
    const fine = Math.max(...Object.values(lane.part.groups));
    const at = (n: number): Widths => widthsWith(lane, lane.rate + (n / fine) * (to - lane.rate));
    return at(firstTrue(1, fine, (n) => costOf(at(n)) <= budget.most));
  };
  /** Without measuring: by the prices as they are. */
  const completed = (): Widths => {
    for (;;) {
      const lane = cheapest(lanes);
      const to = lane && next(lane);
      if (!lane || to === undefined) return widthsWith();
      if (costOf(widthsWith(lane, to)) <= budget.most) return trimmed(lane, to);
      lane.rate = to;
      lane.price = measuredPrice(lane, next(lane));
    }
  };

  let loss = dense.loss;
  let cost = costOf(widthsWith());
  if (cost <= budget.most) return widthsWith();
  try {
    for (;;) {
      let measuredHere = 0;
      let lane = cheapest(lanes);
      while (lane && !lane.found && measuredHere < mostMeasured) {
        const widths = widthsWith(lane, next(lane));
        const found = await measure(widths);
        lane.found = found;
        lane.price = (found.loss - loss) / (cost - costFound(found, widths));
        measuredHere++;
        lane = cheapest(lanes);
      }
      // Of those that were measured, if the bound ended it.
      if (lane && !lane.found) lane = cheapest(lanes.filter(({ found }) => found));
      const to = lane && next(lane);
      // Every group has lost all that it may.
      if (!lane?.found || to === undefined) return widthsWith();
      const widths = widthsWith(lane, to);
      cost = costFound(lane.found, widths);
      if (cost <= budget.most) return trimmed(lane, to);
      loss = lane.found.loss;
      lane.rate = to;
      for (const other of lanes) other.found = undefined;
      lane.price = measuredPrice(lane, next(lane));
    }
  } catch (error) {
    if (error instanceof TimeOver) throw new TimeOver(completed());
    throw error;
  }
}

function cheapest(lanes: readonly Lane[]): Lane | undefined {
  let best: Lane | undefined;
  for (const lane of lanes) if (lane.price < (best?.price ?? Infinity)) best = lane;
  return best;
}

/** What a step costs by the part's own curve, in the whole model. */
function measuredPrice({ curve, rate }: Lane, to: number | undefined): number {
  return to === undefined ? Infinity : slope(curveAt(curve, rate), curveAt(curve, to));
}

/** The next multiple of the step at which a group has fewer units; undefined if there is none up to the largest. */
function nextRate(
  part: PartSensitivity,
  { rate, maxRate, roundTo }: { rate: number; maxRate: number; roundTo: number },
): number | undefined {
  const before = widthsAt(part, rate, roundTo);
  const steps = Math.ceil(maxRate / stepShare - 1e-9);
  for (let step = Math.floor(rate / stepShare + 1e-9) + 1; step <= steps; step++) {
    const to = Math.min(maxRate, step * stepShare);
    const after = widthsAt(part, to, roundTo);
    if (Object.keys(part.groups).some((name) => after[name] !== before[name])) return to;
  }
  return undefined;
}
