// Which seeds are compared at which rate.

/** Seeds of one rate, where it has others than the rest. */
export interface RateSeeds {
  readonly rate: number;
  readonly seeds: readonly number[];
}

interface SomeSeeds {
  readonly seeds: readonly number[];
  /** Of whatever sizes. */
  readonly seedsAt?: readonly { readonly seeds: readonly number[] }[] | undefined;
}

interface Seeds {
  readonly seeds: readonly number[];
  readonly seedsAt?: readonly RateSeeds[] | undefined;
}

/** Every seed that some size has, those of all sizes first. */
export const allSeeds = ({ seeds, seedsAt = [] }: SomeSeeds): number[] => [
  ...new Set([...seeds, ...seedsAt.flatMap((at) => at.seeds)]),
];

/** The seeds of one rate. */
export const seedsOf = ({ seeds, seedsAt = [] }: Seeds, rate: number): readonly number[] =>
  seedsAt.find((at) => at.rate === rate)?.seeds ?? seeds;
