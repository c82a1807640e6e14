// Which of the limits of a cut keep it from a budget, for the message that refuses it.
import { sum } from '../../statistics.js';
import type { SelectionOptions } from '../selection.js';

type Limits = Omit<SelectionOptions, 'rate'>;

interface Limit {
  /** As a message names it. */
  readonly name: string;
  /** The options without it. */
  readonly lifted: (options: Limits) => Limits;
}

/** The limits that options have. */
function limitsIn(options: Limits): Limit[] {
  const rateOf = Object.entries(options.rateOf ?? {});
  const plain = (['maxRate', 'minWidth', 'roundTo'] as const).flatMap((key): Limit[] =>
    options[key] === undefined
      ? []
      : [
          {
            name: `\`${key}\` ${options[key]}`,
            lifted: (given) => ({ ...given, [key]: undefined }),
          },
        ],
  );
  const ofGroups = (name: string, isLifted: (rate: number) => boolean): Limit[] =>
    rateOf.some(([, rate]) => isLifted(rate))
      ? [
          {
            name,
            lifted: ({ rateOf: rates = {}, ...given }) => ({
              ...given,
              rateOf: Object.fromEntries(
                Object.entries(rates).filter(([, rate]) => !isLifted(rate)),
              ),
            }),
          },
        ]
      : [];
  return [
    ...plain,
    ...ofGroups('rates of single groups (`rateOf`)', (rate) => rate !== 0),
    ...ofGroups('excluded groups (a rate of 0 in `rateOf`)', (rate) => rate === 0),
  ];
}

/**
 * @param least - what is left of every group at the least under given limits
 * @returns the limits without any one of which less could be left; where only several of them together keep it from that,
 *   those whose lifting together would
 */
export function inTheWay(
  options: Limits,
  least: (options: Limits) => ReadonlyMap<string, number>,
): string[] {
  const now = total(least(options));
  const limits = limitsIn(options);
  const alone = limits.filter(({ lifted }) => total(least(lifted(options))) < now);
  if (alone.length > 0) return alone.map(({ name }) => name);
  // Two that ask for the same hide behind each other: those count that alone keep something.
  const free = limits.reduce((all, { lifted }) => lifted(all), options);
  const all = total(least(free));
  if (all === now) return [];
  const keeping = limits.filter((limit) => {
    const others = limits.filter((each) => each !== limit);
    return total(least(others.reduce((rest, { lifted }) => lifted(rest), options))) > all;
  });
  return keeping.map(({ name }) => name);
}

const total = (counts: ReadonlyMap<string, number>): number => sum(counts.values());
