// The methods that a comparison may have, and what tables call them.
import type { CompareSettings } from './settings.js';

/** In the order of tables. `scratch`: a fresh model of the size that one-shot pruning leaves. */
export const compareMethods = ['dense', 'scratch', 'oneshot', 'refill', 'rsst'] as const;
export type CompareMethod = (typeof compareMethods)[number];

/** Those that begin with a dense model. */
export type PrunedMethod = Exclude<CompareMethod, 'scratch'>;

/** What is compared unless told otherwise. */
export const usualMethods: readonly CompareMethod[] = ['dense', 'oneshot', 'refill', 'rsst'];

/** In the order of tables. */
export const methodsOf = ({
  methods = usualMethods,
}: Pick<CompareSettings, 'methods'>): CompareMethod[] =>
  compareMethods.filter((method) => methods.includes(method));

const methodLabels: Readonly<Record<CompareMethod, string>> = {
  dense: 'dense',
  scratch: 'scratch',
  oneshot: 'one-shot',
  refill: 'Refill',
  rsst: 'RSST',
};

/** As tables call a method. */
export const methodLabel = (method: CompareMethod): string => methodLabels[method];
