// What kept more units than the rates of a comparison ask for: without a word of it a table of 70% would be read as one.
import { percent } from '../../format.js';
import type { HeldBack, RateLimit } from '../prune/reached-rates.js';
import type { PruningRecord } from '../prune/record.js';
import type { RunResult } from './outcomes.js';
import { percentName } from './settings.js';

/** Of one kind in one run. */
export interface ShortOfRate extends Pick<HeldBack, 'kind' | 'limit'> {
  /** Share of the units of the kind that is gone. */
  readonly reached: number;
}

/** Rates of groups are told with the settings. */
const ofCut = ({ limit }: Pick<HeldBack, 'limit'>): boolean => limit !== 'rate-of';

/** @returns nothing where the rates were reached */
export const shortOfRates = ({ heldBack = [], reached = {} }: PruningRecord): ShortOfRate[] =>
  heldBack
    .filter(ofCut)
    .flatMap(({ kind, limit }) =>
      reached[kind] === undefined ? [] : [{ kind, limit, reached: reached[kind] }],
    );

const inWords: Readonly<Record<RateLimit, string>> = {
  'max-rate': 'the most that a group may lose',
  minimum: 'the units that every group keeps at least',
  'min-width': 'the units that every group keeps at least',
  'round-to': 'the rounding of widths',
  fillback: 'the units that Refill gave back',
  'rate-of': 'rates of single groups',
};

/** What is gone of a kind at a rate that some runs did not reach. */
export interface ReachedShares {
  readonly rate: number;
  readonly kind: string;
  /** Of those runs. */
  readonly least: number;
  readonly most: number;
}

type ShortRun = Pick<RunResult, 'rate'> & {
  readonly shortOfRate?: readonly Omit<ShortOfRate, 'limit'>[] | undefined;
};

/** Rate by rate, kind by kind, in the order of the runs. */
export function reachedShares(runs: readonly ShortRun[]): ReachedShares[] {
  const found = new Map<string, ReachedShares>();
  for (const { rate, shortOfRate = [] } of runs) {
    for (const { kind, reached } of shortOfRate) {
      const { least = reached, most = reached } = found.get(`${rate} ${kind}`) ?? {};
      found.set(`${rate} ${kind}`, {
        rate,
        kind,
        least: Math.min(least, reached),
        most: Math.max(most, reached),
      });
    }
  }
  return [...found.values()];
}

/** A sentence for every rate that some runs did not reach: `Of the 70% asked for 10.0% of ssm and 9.0% to 11.0% of mlp are gone, ...` */
export function heldBackText(runs: readonly RunResult[]): string[] {
  const shares = reachedShares(runs);
  return [...new Set(shares.map(({ rate }) => rate))].map((rate) => {
    const gone = shares.flatMap((share) => (share.rate === rate ? [goneText(share)] : []));
    const short = runs.flatMap((run) => (run.rate === rate ? (run.shortOfRate ?? []) : []));
    const limits = [...new Set(short.map(({ limit }) => inWords[limit]))].join(' and ');
    return `Of the ${percentName(rate)}% asked for ${gone.join(' and ')} are gone, held back by ${limits}.`;
  });
}

function goneText({ kind, ...shares }: ReachedShares): string {
  const [least, most] = [percent(shares.least, 1), percent(shares.most, 1)];
  return `${least === most ? least : `${least} to ${most}`} of ${kind}`;
}
