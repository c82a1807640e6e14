// Groups of which a cut left next to nothing: a block with one channel passes hardly anything on, and
// training seldom brings it back.
import { keptCount } from '../../pruning/selection.js';
import type { PruningRecord } from './record.js';

/** Under this share of the dense width a group is warned of. */
const smallShare = 0.05;

export interface NarrowGroup {
  readonly name: string;
  readonly kind: string;
  /** Units of the dense model. */
  readonly dense: number;
  /** Units that this run began with. */
  readonly before: number;
  readonly left: number;
}

/**
 * The groups that this run cut and that have one unit left, or less than a twentieth of the dense model's; in
 * the order of the network.
 */
export function narrowGroups({
  kinds,
  denseWidths,
  widthsBefore,
  widthsAfter,
}: Pick<PruningRecord, 'kinds' | 'denseWidths' | 'widthsBefore' | 'widthsAfter'>): NarrowGroup[] {
  return Object.entries(widthsAfter).flatMap(([name, left]) => {
    const before = widthsBefore[name] ?? left;
    const dense = denseWidths[name] ?? before;
    const isNarrow = left === 1 || left < smallShare * dense;
    return left < before && isNarrow
      ? [{ name, kind: kinds[name] ?? '', dense, before, left }]
      : [];
  });
}

/**
 * The largest `--max-rate`, in hundredths, under which none of the groups would have become narrow; 0 if
 * they have nothing to lose.
 */
export function wideEnough(groups: readonly NarrowGroup[]): number {
  const most = groups.map(({ dense, before }) => {
    const least = leastWide(dense);
    const share = Math.max(0, (100 * (before - least)) / before);
    const up = Math.ceil(share) / 100;
    return before - Math.floor(up * before + 1e-9) >= least ? up : Math.floor(share) / 100;
  });
  return Math.min(...most);
}

/** Whether the same share of each group would have left enough of all of them. */
export function evenIsWide(
  groups: readonly NarrowGroup[],
  rates: Readonly<Record<string, number>>,
): boolean {
  return groups.every(
    ({ kind, dense, before }) => keptCount(before, rates[kind] ?? 0) >= leastWide(dense),
  );
}

const leastWide = (dense: number): number => Math.max(2, Math.ceil(smallShare * dense));

/** Whether the run has cut, and nothing went. */
export function nothingRemoved({ rounds, widthsBefore, widthsAfter }: PruningRecord): boolean {
  return (
    rounds.length > 0 &&
    Object.entries(widthsBefore).every(([name, width]) => (widthsAfter[name] ?? width) >= width)
  );
}
