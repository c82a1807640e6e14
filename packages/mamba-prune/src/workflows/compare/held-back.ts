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

/** A sentence for every rate that some runs did not reach: `Of 70% asked for, 10% of ssm and 9% to 11% of mlp are gone: ...` */
export function heldBackText(runs: readonly RunResult[]): string[] {
  const rates = [...new Set(runs.map(({ rate }) => rate))];
  return rates.flatMap((rate) => {
    const short = runs.flatMap((run) => (run.rate === rate ? (run.shortOfRate ?? []) : []));
    if (short.length === 0) return [];
    const kinds = [...new Set(short.map(({ kind }) => kind))];
    const gone = kinds.map((kind) => `${sharesOf(kind, short)} of ${kind}`).join(' and ');
    const limits = [...new Set(short.map(({ limit }) => inWords[limit]))].join(' and ');
    return [`Of the ${percentName(rate)}% asked for ${gone} are gone, held back by ${limits}.`];
  });
}

function sharesOf(kind: string, short: readonly ShortOfRate[]): string {
  const shares = short.filter((each) => each.kind === kind).map(({ reached }) => reached);
  const [least, most] = [Math.min(...shares), Math.max(...shares)].map((share) =>
    percent(share, 1),
  );
  return least === most ? `${least}` : `${least} to ${most}`;
}
