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

/** Of a disk of this machine or over a network. */
const diskFails = 'its disk does not answer';

/** For `checksOf`: a value that a data set or its batches cannot be made with. */
export const dataError = (message: string): DataError => new DataError(message);

/** What the system says where a file or a folder is read. */
const readingReasons: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EACCES: 'you have no permission to read it',
  EPERM: 'you have no permission to read it',
  ELOOP: 'its links go round in a circle',
  ENOTDIR: 'it is a file, or a part of its path is one',
  ENAMETOOLONG: 'its name is too long',
  EIO: diskFails,
  ESTALE: diskFails,
  ETIMEDOUT: diskFails,
  EHOSTDOWN: diskFails,
  EHOSTUNREACH: diskFails,
  ENOTCONN: diskFails,
  EREMOTEIO: diskFails,
};

/** Whether nothing can be said of what a file holds, because it could not be read. */
export const isReadingError = (error: unknown): boolean =>
  Object.hasOwn(readingReasons, errnoOf(error) ?? '') ||
  (error instanceof DataError && isReadingError(error.cause));

/** The text of anything thrown, with the cause that sharp and others hide below it behind it; of a connection only `innermostReasonOf` is told. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code = errnoOf(error) ?? '';
  const words = readingReasons[code];
  if (words !== undefined) return `${code}: ${words}`;
  // A reason of our own says what the system's would.
  const isSaid = error instanceof DataError && isReadingError(error.cause);
  const cause = error.cause instanceof Error && !isSaid ? error.cause : undefined;
  const detail = cause ? cause.message || errnoOf(cause) : undefined;
  return detail && !error.message.includes(detail) ? `${error.message} (${detail})` : error.message;
}

/** The errno name of a Node error ('ENOENT'), or undefined. */
export function errnoOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string'
    ? error.code
    : undefined;
}
