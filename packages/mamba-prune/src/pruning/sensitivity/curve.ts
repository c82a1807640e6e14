// The measured curve of one part: what it loses against what its cut saves, straight between the points, and its
// lower convex envelope, on which steps of least loss per saved cost can be taken one after another.
import { sum } from '../../statistics.js';
import type { MeasuredModel, PartSensitivity, Sensitivity } from './measure.js';

/** What a budget counts. */
export const costMetrics = ['units', 'macs', 'parameters'] as const;
export type CostMetric = (typeof costMetrics)[number];

/** A point of a part's curve. */
export interface CurvePoint {
  /** Share of the part's units that is gone. */
  readonly rate: number;
  /** What the model costs less; 0 where nothing is cut. */
  readonly saved: number;
  /** By how much the loss is higher; may be below 0. */
  readonly increase: number;
}

/** A part's curve from where nothing is cut on, by rate. */
export function curveOf(
  { groups, points }: PartSensitivity,
  dense: MeasuredModel,
  metric: CostMetric,
): CurvePoint[] {
  const size = sum(Object.values(groups));
  const measured = points.map((point): CurvePoint => {
    const { kept, loss } = point;
    const saved = metric === 'units' ? size - kept : dense[metric] - point[metric];
    return { rate: (size - kept) / size, saved, increase: loss - dense.loss };
  });
  const curve: CurvePoint[] = [{ rate: 0, saved: 0, increase: 0 }];
  // Rates so near to each other that a small group keeps the same units under both are one point.
  for (const point of measured) if (point.saved > (curve.at(-1)?.saved ?? 0)) curve.push(point);
  return curve;
}

/** A curve at a share that is gone, straight between the measured points. Beyond the last one the last slope goes on. */
export function curveAt(curve: readonly CurvePoint[], rate: number): CurvePoint {
  const next = curve.findIndex((point) => point.rate >= rate);
  const to = next < 0 ? curve.length - 1 : Math.max(1, next);
  const [a, b] = [curve[to - 1], curve[to]];
  if (!a || !b) return { rate, saved: 0, increase: 0 };
  const share = (rate - a.rate) / (b.rate - a.rate);
  const between = (from: number, end: number): number => from + share * (end - from);
  return {
    rate,
    saved: between(a.saved, b.saved),
    increase: between(a.increase, b.increase),
  };
}

/**
 * The lower convex envelope (the lower half of Andrew's monotone chain): the points of the curve that lie below every
 * straight line between two others. From point to point the loss per saved cost does not fall.
 */
export function lowerEnvelope(curve: readonly CurvePoint[]): CurvePoint[] {
  const hull: CurvePoint[] = [];
  for (const point of curve) {
    for (let [a, b] = [hull.at(-2), hull.at(-1)]; a && b; [a, b] = [hull.at(-2), hull.at(-1)]) {
      if (slope(a, b) < slope(b, point)) break;
      hull.pop();
    }
    hull.push(point);
  }
  return hull;
}

/** Loss per saved cost between two points of a curve. */
export const slope = (a: CurvePoint, b: CurvePoint): number =>
  (b.increase - a.increase) / (b.saved - a.saved);

/** The loss that is predicted when every part is cut on its own: increases add up. */
export function predictedLoss(
  { dense, parts }: Sensitivity,
  widths: Readonly<Record<string, number>>,
): number {
  const increases = parts.map((part) => {
    const size = sum(Object.values(part.groups));
    const kept = sum(Object.entries(part.groups).map(([name, full]) => widths[name] ?? full));
    return curveAt(curveOf(part, dense, 'units'), (size - kept) / size).increase;
  });
  return dense.loss + sum(increases);
}
