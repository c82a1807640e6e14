// Groups that a comparison cuts at rates of their own, or leaves whole: by patterns of their names, as they are asked for, and
// by the names themselves, as the comparison stores them.
import { shown } from '../../checks.js';
import { UsageError } from '../../errors.js';
import type { ImageModel } from '../../models/image-model.js';
import { checkGroupLimits, checkOwnRates } from '../../pruning/group-limits.js';
import { type GroupPatterns, rateOfGroups } from '../../pruning/group-patterns.js';
import type { CompareCut } from './cut.js';

/** @throws UsageError for patterns that are none */
export function checkPatterns({ exclude = [], rateOf = [] }: GroupPatterns): void {
  const bad = exclude.find((pattern: unknown) => typeof pattern !== 'string');
  if (bad !== undefined) {
    throw new UsageError(
      `compare: \`exclude\`: got ${shown(bad)}, expected names of groups, or patterns such as 'blocks.0.*'.`,
    );
  }
  for (const own of rateOf) {
    const { pattern, rate } = own as { pattern?: unknown; rate?: unknown };
    if (typeof pattern === 'string' && typeof rate === 'number') continue;
    throw new UsageError(
      `compare: \`rateOf\`: got ${shown(own)}, expected a pattern with its rate, such as { pattern: '*.ssm', rate: 0.5 }.`,
    );
  }
}

/**
 * The cut with the rates of single groups by name.
 * @param kinds - that are cut
 * @throws UsageError for patterns or names that fit nothing that is cut, or where nothing is left to compare
 */
export function withGroupRates(
  { cut, exclude, rateOf: patterns }: GroupPatterns & { readonly cut: CompareCut },
  model: ImageModel,
  kinds: readonly string[],
): CompareCut {
  const groups = model.pruningGroups();
  const found = rateOfGroups({ exclude, rateOf: patterns }, groups, kinds);
  if (cut.rateOf === undefined && found === undefined) return cut;
  const rateOf = { ...cut.rateOf, ...found };
  checkGroupLimits({ rateOf });
  checkOwnRates(groups, kinds, rateOf);
  const cutGroups = groups.filter(({ kind }) => kinds.includes(kind));
  if (cutGroups.every(({ name }) => Object.hasOwn(rateOf, name))) {
    throw new UsageError(
      `compare: got rates of their own for all groups of ${kinds.join(' and ')} (\`rateOf\`), expected some left that are cut at ` +
        'the rates that are compared: these would change nothing. Leave some of the groups out.',
    );
  }
  return { ...cut, rateOf };
}
