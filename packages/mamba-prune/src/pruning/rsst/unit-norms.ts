/** How the norms of units are spread: what shows the doomed units part from those that stay. */
import { type nn, noGrad, scope } from '@mamba-prune/libtorch';
import type { PruningGroup } from '../../models/groups.js';
import { quantile, sum } from '../../statistics.js';
import type { EpochMetrics } from '../../training/metrics-lines.js';
import type { RegNorm } from './choices.js';
import { type RegularizerOptions, regularizedGroups } from './regularizer.js';
import { sliceGroups, unitNorms } from './unit-slices.js';

/** Shares of the units at which quantiles are taken. */
export const normQuantiles = [0, 0.05, 0.25, 0.5, 0.75, 0.95, 1] as const;

/** Bins of a histogram. */
export const normBins = 24;

/** Norms of some units. */
export interface NormSpread {
  readonly units: number;
  readonly mean: number;
  /** The norms at `normQuantiles`, the smallest first. */
  readonly quantiles: readonly number[];
  /** Units per bin; `normBins` bins share the range from 0 to `KindNorms.max` evenly. */
  readonly histogram: readonly number[];
}

/** The groups of one kind together. */
export interface KindNorms {
  /** The largest norm. */
  readonly max: number;
  /** All units, or those that stay where some are doomed. */
  readonly kept: NormSpread;
  readonly doomed?: NormSpread;
  /** Sum of the doomed units' norms over the sum of all units' norms, 0 to 1. */
  readonly doomedShare?: number;
}

/** `unitNorms` of an epoch's line in metrics.jsonl. */
export interface UnitNorms {
  readonly norm: RegNorm;
  /** By kind of group. */
  readonly kinds: Readonly<Record<string, KindNorms>>;
}

/** The norm of every unit by group name, in float64. */
export function measureUnitNorms(
  model: nn.Module,
  groups: readonly PruningGroup[],
  norm: RegNorm,
): Map<string, Float64Array> {
  return new Map(
    sliceGroups(model, groups, norm).map((sliced) => [
      sliced.group.name,
      scope(() => noGrad(() => Float64Array.from(unitNorms(sliced, norm).toNumbers()))),
    ]),
  );
}

/**
 * Distribution of the norms as the regulariser sees them, compact enough for a line per epoch.
 * @throws UsageError as the regulariser does
 */
export function summarizeUnitNorms(
  model: nn.Module,
  groups: readonly PruningGroup[],
  options: RegularizerOptions,
): UnitNorms {
  const { norm, targets, units } = options;
  // Groups without doomed units count too: their units stay.
  const chosen = regularizedGroups(groups, { norm, targets });
  const norms = measureUnitNorms(model, chosen, norm);
  const kinds: Record<string, KindNorms> = {};
  for (const kind of new Set(chosen.map((group) => group.kind))) {
    const kept: number[] = [];
    const doomed: number[] = [];
    for (const { name } of chosen.filter((group) => group.kind === kind)) {
      const gone = new Set(units?.get(name));
      norms.get(name)?.forEach((value, unit) => (gone.has(unit) ? doomed : kept).push(value));
    }
    kinds[kind] = kindNorms(kept, units && doomed);
  }
  return { norm, kinds };
}

function kindNorms(kept: number[], doomed: number[] | undefined): KindNorms {
  const max = [...kept, ...(doomed ?? [])].reduce((most, value) => Math.max(most, value), 0);
  const total = sum(kept) + sum(doomed ?? []);
  return {
    max: rounded(max),
    kept: spread(kept, max),
    ...(doomed && {
      doomed: spread(doomed, max),
      doomedShare: rounded(total > 0 ? sum(doomed) / total : 0),
    }),
  };
}

function spread(norms: number[], max: number): NormSpread {
  const sorted = norms.sort((a, b) => a - b);
  const histogram = Array.from({ length: normBins }, () => 0);
  for (const value of sorted) {
    const bin = max > 0 ? Math.min(normBins - 1, Math.floor((value / max) * normBins)) : 0;
    histogram[bin] = (histogram[bin] ?? 0) + 1;
  }
  const some = sorted.length > 0;
  return {
    units: sorted.length,
    mean: rounded(some ? sum(sorted) / sorted.length : 0),
    quantiles: normQuantiles.map((share) => rounded(some ? quantile(sorted, share) : 0)),
    histogram,
  };
}

/** Four digits are what a plot shows; a line per epoch stays under a kilobyte per kind. */
const rounded = (value: number): number => Number(value.toPrecision(4));

/** What `rsstHooks` wrote into an epoch's line; undefined in a line of another training. */
export function readUnitNorms(line: Pick<EpochMetrics, 'type'>): UnitNorms | undefined {
  const { unitNorms: found } = line as { unitNorms?: Partial<UnitNorms> };
  return found?.kinds && found.norm ? (found as UnitNorms) : undefined;
}
