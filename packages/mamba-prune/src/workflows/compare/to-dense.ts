// How far a method is from the dense model, over the seeds that both have: with --seeds-at, or before all runs are done, they
// may have different ones, and means over different seeds have no difference that says anything.
import type { MethodResult } from './outcomes.js';
import type { CompareResults } from './results.js';
import { mean } from './statistics.js';

/**
 * Accuracy of a method less that of the dense model, both over the seeds that both have, as a share of 1.
 * @returns undefined for the dense model itself, and where there is no such seed
 */
export function toDense(
  { method, rate }: Pick<MethodResult, 'method' | 'rate'>,
  { runs }: Pick<CompareResults, 'runs'>,
): number | undefined {
  if (method === 'dense') return undefined;
  const dense = new Map(
    runs.flatMap((run) => (run.method === 'dense' ? [[run.seed, run.accuracy] as const] : [])),
  );
  const pairs = runs.flatMap((run) => {
    const other = dense.get(run.seed);
    return run.method === method && run.rate === rate && other !== undefined
      ? [[run.accuracy, other] as const]
      : [];
  });
  if (pairs.length === 0) return undefined;
  return mean(pairs.map(([own]) => own)) - mean(pairs.map(([, other]) => other));
}
