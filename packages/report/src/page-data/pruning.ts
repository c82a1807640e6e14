/** What a pruning removed: its rounds, the fate of every unit, and the scores that it went by. */

export interface PruningData {
  /** Shares that are asked for, per kind. */
  readonly rates: Readonly<Record<string, number>>;
  /** What was asked for in place of rates, which are then those that it came to: `MACs 0.3x`. */
  readonly budget?: readonly string[] | undefined;
  /** Shares that are gone, per kind; undefined before the last cut, and in records of older versions. */
  readonly reached?: Readonly<Record<string, number>> | undefined;
  readonly plannedRounds: number;
  readonly groups: readonly GroupData[];
  readonly rounds: readonly RoundData[];
}

export interface GroupData {
  readonly name: string;
  readonly kind: string;
  /** Before any cut ever. */
  readonly dense: number;
  /** Before the first cut of this run. */
  readonly before: number;
  /**
   * What became of every unit of the dense model, one character each: `-` was gone before this run,
   * `0` is still there, and the character 48 + j is gone since round j. Undefined if never cut.
   */
  readonly fate: string | undefined;
}

export interface RoundData {
  /** Counted from 1. */
  readonly round: number;
  readonly rates: Readonly<Record<string, number>>;
  /** Width of every group after the cut. */
  readonly widths: Readonly<Record<string, number>>;
  /** Units of the dense model that refill gave back, per group. */
  readonly returned: Readonly<Record<string, readonly number[]>>;
  readonly parameters: number;
  readonly macs: number;
  readonly accuracy: {
    readonly before: number | null;
    readonly afterCut: number | null;
    readonly after: number | null;
  };
  readonly finished: boolean;
  readonly scores: ScoresData | undefined;
}

/** The scores that a cut went by. */
export interface ScoresData {
  /** `l1 of consumer`, `group norm`. */
  readonly measure: string;
  readonly ranking: string;
  readonly normalize: string;
  readonly groups: readonly GroupScoresData[];
}

export interface GroupScoresData {
  readonly name: string;
  readonly kind: string;
  readonly min: number;
  readonly max: number;
  /** Little-endian uint16 in base64, one per unit: the place between `min` and `max`. */
  readonly scores: string;
  /** What became of each: `k` kept, `x` removed, `r` given back. */
  readonly fates: string;
}
