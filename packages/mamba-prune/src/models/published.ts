// Published weights by the names that are typed for them: pretrained:vim_tiny.
import { UsageError } from '../errors.js';
import { shown } from '../checks.js';
import { publishedArgument } from '../hub-names.js';
import { families } from './families.js';
import type { PublishedWeights } from './published-weights.js';

/** Those of every family, in the order of the families. */
export const publishedWeights = (): PublishedWeights[] =>
  families().flatMap(({ published = [] }) => published);

/** The first of an architecture; undefined where none are known. */
export const publishedOf = (arch: string): PublishedWeights | undefined =>
  publishedWeights().find((weights) => weights.arch === arch);

/** @throws UsageError for a name that there is not, listing those that there are */
export function publishedNamed(argument: string): PublishedWeights {
  const weights = publishedWeights().find((each) => publishedArgument(each) === argument);
  if (weights) return weights;
  throw new UsageError(
    `model: got ${shown(argument)}, expected one of ${publishedWeights().map(publishedArgument).join(', ')} ` +
      "(see 'mamba-prune models').",
  );
}
