// What a search for rates is given, and what it says when its time is over.
import type { WidthCost } from '../../pruning/budget/targets.js';
import type { Widths } from '../../models/width-costs.js';
import type { CostLimit } from '../../pruning/sensitivity/allocate.js';
import type { MeasuredModel, Sensitivity } from '../../pruning/sensitivity/measure.js';

/** Rates to begin from. */
export interface Start {
  /** Such as `uniform`. */
  readonly name: string;
  readonly widths: Widths;
}

export interface SearchProblem {
  readonly sensitivity: Sensitivity;
  readonly budget: CostLimit;
  /** Largest share that a group may lose. */
  readonly maxRate: number;
  readonly seed: number;
  /** What it begins from; all meet the budget. */
  readonly starts: readonly Start[];
  readonly costOf: WidthCost;
  /** A model is measured once. @throws TimeOver */
  readonly measure: (widths: Widths) => Promise<MeasuredModel>;
}

/** The time of a search ended before the search did. */
export class TimeOver extends Error {
  override readonly name = 'TimeOver';

  /** What the search would have come to without measuring more; it meets the budget. */
  readonly widths: Widths | undefined;

  constructor(widths?: Widths) {
    super('the time of the search is over');
    this.widths = widths;
  }
}

/** Widths of all groups in the order of the network: the same text for the same model. */
export function widthsKey({ parts }: Sensitivity, widths: Widths): string {
  return parts
    .flatMap(({ groups }) => Object.entries(groups).map(([name, size]) => widths[name] ?? size))
    .join(',');
}

/** The widths of such a text. */
export function widthsOfKey({ parts }: Sensitivity, key: string): Widths {
  const values = key.split(',').map(Number);
  const names = parts.flatMap(({ groups }) => Object.keys(groups));
  return Object.fromEntries(names.map((name, i) => [name, values[i] ?? 0]));
}
