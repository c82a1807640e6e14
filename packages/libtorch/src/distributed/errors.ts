// Errors of process groups.

/** Workers cannot find each other, do not agree, or a collective did not end in time. */
export class DistributedError extends Error {
  override readonly name: string = 'DistributedError';
}

/** Another worker is gone or failed; this one cannot go on without it. */
export class WorkerLostError extends DistributedError {
  override readonly name = 'WorkerLostError';
  /** Of the worker that is gone. */
  readonly rank: number;

  constructor(rank: number, message: string, options?: ErrorOptions) {
    super(message, options);
    this.rank = rank;
  }
}

/** Runs native code of a group; its errors become ours. */
export function guarded<T>(body: () => T): T {
  try {
    return body();
  } catch (error) {
    const { message, rank } = error as Error & { rank?: number };
    if (typeof rank === 'number') {
      // Whatever was going on, the worker that is gone is the matter.
      const text = message.replace(/^\w+: /, 'workers: ');
      throw new WorkerLostError(rank, text, { cause: error });
    }
    throw new DistributedError(message, { cause: error });
  }
}
