// What no shape tells of a model and somebody has to say. A reading goes on without it, so that one error names all of it.
import { UsageError } from '../../errors.js';

/** Something must be said of a file before it can be read; what of it contradicts the file is a plain UsageError. */
export class UntoldError extends UsageError {}

/** @returns what was read, or the error to throw when it is known what else must be said. Other errors are thrown. */
export function orUntold<T>(read: () => T): T | UntoldError {
  try {
    return read();
  } catch (error) {
    if (error instanceof UntoldError) return error;
    throw error;
  }
}

/** The messages of several errors of importing as one. */
export const joined = (messages: readonly string[]): string =>
  messages
    .map((message, i) =>
      i === 0
        ? message
        : message.replace(/^import: (.)/, (_, first: string) => first.toUpperCase()),
    )
    .join(' ');

/** @throws UntoldError with all that must be said, if there is any */
export function refuseUntold(results: readonly unknown[]): void {
  const errors = results.filter((result) => result instanceof UntoldError);
  if (errors.length === 0) return;
  throw new UntoldError(joined(errors.map(({ message }) => message)), { cause: errors[0] });
}
