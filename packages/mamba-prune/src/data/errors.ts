/**
 * A data set is missing, damaged or wrongly asked for. The message names the file or option, what
 * was found, what was expected and what to do.
 */
export class DataError extends Error {
  override readonly name: string = 'DataError';
  /** The file at fault, if there is one. */
  readonly file: string | undefined;
  /** Whether an argument is missing, out of range or names nothing: see `isUsageError`. */
  readonly isUsage: boolean;

  constructor(
    message: string,
    options: { file?: string; cause?: unknown; isUsage?: boolean } = {},
  ) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined);
    this.file = options.file;
    this.isUsage = options.isUsage ?? false;
  }
}

/** For `checksOf`: a value that a data set or its batches cannot be made with. */
export const dataError = (message: string): DataError => new DataError(message);

/** The text of anything thrown, with the cause that sharp and others hide below it behind it; of a connection only `innermostReasonOf` is told. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause instanceof Error ? error.cause : undefined;
  const code = cause && 'code' in cause ? String(cause.code) : undefined;
  const detail = cause ? cause.message || code : undefined;
  return detail && !error.message.includes(detail) ? `${error.message} (${detail})` : error.message;
}

/** The errno name of a Node error ('ENOENT'), or undefined. */
export function errnoOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string'
    ? error.code
    : undefined;
}
