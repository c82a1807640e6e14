// How much is gone after each round.

/** How rates are spread over rounds. */
export interface RoundPlan {
  /** Per kind of group, in [0, 1). */
  readonly rates: Readonly<Record<string, number>>;
  readonly rounds: number;
  /** The rates are the share of what is left that each round removes, in place of the share of all. */
  readonly perRound: boolean;
}

/**
 * The share of the units that the run began with that is gone after a round: 1 - (1 - rate)^(j/R), or
 * per round 1 - (1 - rate)^j. Counted from the beginning, so that the rounding of one round is not
 * that of the next, and the last one leaves what a single cut at the rate would.
 *
 * @param round - counted from 1
 */
export function ratesAfter(
  { rates, rounds, perRound }: RoundPlan,
  round: number,
): Record<string, number> {
  const power = perRound ? round : round / rounds;
  return Object.fromEntries(
    Object.entries(rates).map(([kind, rate]) => [
      kind,
      // The last bits of the power could round to another count than those of the rate itself.
      power === 1 ? rate : 1 - (1 - rate) ** power,
    ]),
  );
}

/** The same for the rates that single groups have of their own, by their names; undefined without any. */
export function ratesOfGroupsAfter(
  {
    rateOf,
    ...plan
  }: Omit<RoundPlan, 'rates'> & { readonly rateOf?: RoundPlan['rates'] | undefined },
  round: number,
): Record<string, number> | undefined {
  return rateOf && ratesAfter({ ...plan, rates: rateOf }, round);
}
