/**
 * A setting, name or argument that cannot be used; the message says what was given and expected. Options that
 * the command line spells as flags stand in backquotes, as `patchSize` does here: it writes `--patch` then. What
 * stands in none is a word, but for the name before `: got`, as checks.ts writes it.
 */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** A number beyond its range, or sizes that together need more than the machine has. Nothing was made. */
export class TooLargeError extends RangeError {
  override readonly name = 'TooLargeError';
  readonly isUsage = true;
}

/** Errors of other classes that are about an argument say so: the program ends with 2 then. */
export const isUsageError = (error: unknown): boolean =>
  error instanceof UsageError ||
  (error instanceof Error && 'isUsage' in error && error.isUsage === true);

/** The innermost reason alone, without what was said around it: of 'fetch failed' only what it hides counts for a reader. */
export function innermostReasonOf(error: unknown): string {
  // The hub's client aborts streams with the bare message.
  if (typeof error === 'string') return error;
  if (!(error instanceof Error)) return String(error);
  const { cause } = error;
  if (cause instanceof AggregateError && cause.errors.length > 0)
    return innermostReasonOf(cause.errors[0]);
  if (cause instanceof Error) return innermostReasonOf(cause);
  return error.message === '' ? error.name : error.message;
}
