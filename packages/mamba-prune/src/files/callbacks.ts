/**
 * What callbacks of the caller throw, kept apart from what goes wrong on the way: it is nothing to try again, and no fault of a
 * server or a disk. It ends the work and is thrown as it is.
 */

/** Holds what a callback threw while it passes through those that look at errors, who let it through. */
export class CallbackError extends Error {
  override readonly name = 'CallbackError';
  readonly thrown: unknown;

  constructor(thrown: unknown) {
    super('a callback threw', { cause: thrown });
    this.thrown = thrown;
  }
}

interface Callbacks {
  readonly onProgress?: ((progress: never) => void) | undefined;
  readonly onNote?: ((note: string) => void) | undefined;
  readonly onBegin?: ((file: never) => void) | undefined;
}

/**
 * Work with callbacks, which may be part of other such work.
 * @param work - is given the options, whose callbacks throw nothing but `CallbackError`
 * @throws what a callback threw; what `work` throws
 */
export async function callingBack<T extends Callbacks, R>(
  options: T,
  work: (options: T) => Promise<R>,
): Promise<R> {
  const { onProgress, onNote, onBegin } = options;
  try {
    return await work({
      ...options,
      ...(onProgress && { onProgress: guarded(onProgress) }),
      ...(onNote && { onNote: guarded(onNote) }),
      ...(onBegin && { onBegin: guarded(onBegin) }),
    });
  } catch (error) {
    throw error instanceof CallbackError ? error.thrown : error;
  }
}

const guarded =
  <A>(callback: (argument: A) => void) =>
  (argument: A): void => {
    try {
      callback(argument);
    } catch (error) {
      throw new CallbackError(error);
    }
  };
