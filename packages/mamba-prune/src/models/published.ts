// Published weights by the names that are typed for them: pretrained:vim_tiny.
import { UsageError } from '../errors.js';
import { shown } from '../checks.js';
import { publishedArgument } from '../hub-names.js';
import { families } from './families.js';
import type { PublishedWeights } from './published-weights.js';

/** Those of every family, in the order of the families. */
export const publishedWeights = (): PublishedWeights[] =>
  families().flatMap(({ published = [] }) => published);

/**
 * Those of an architecture that have what was said of the model (`{ stride: 8 }`), or else the first of the architecture.
 * @returns undefined where none are known
 */
export function publishedOf(
  arch: string,
  said: Readonly<Record<string, unknown>> = {},
): PublishedWeights | undefined {
  const all = publishedWeights().filter((weights) => weights.arch === arch);
  const same = all.find(
    ({ options }) =>
      options && Object.entries(options).every(([name, value]) => said[name] === value),
  );
  return same ?? all[0];
}

/** @throws UsageError for a name that there is not, listing those that there are */
export function publishedNamed(argument: string): PublishedWeights {
  const weights = publishedWeights().find((each) => publishedArgument(each) === argument);
  if (weights) return weights;
  throw new UsageError(
    `model: got ${shown(argument)}, expected one of ${publishedWeights().map(publishedArgument).join(', ')} ` +
      "(see 'mamba-prune models').",
  );
}
