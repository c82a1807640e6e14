/** What a thread of a pool runs: it does one job after the other, until the pool ends it. */
import { parentPort } from 'node:worker_threads';

/** What the pool sends. */
export interface Task<Job> {
  readonly id: number;
  readonly job: Job;
}

/** What comes back. */
export type Answer<Result> =
  | { readonly id: number; readonly result: Result }
  | { readonly id: number; readonly error: unknown };

/**
 * @param work - takes what `run` of the pool was given; what it throws is the answer to its job; the thread goes on
 * @param moved - the memory of a result that is handed over and not copied
 */
export function doJobs<Result>(
  work: (job: never) => Result,
  moved: (result: Result) => readonly ArrayBuffer[],
): void {
  const port = parentPort;
  port?.on('message', ({ id, job }: Task<never>) => {
    try {
      const result = work(job);
      port.postMessage({ id, result } satisfies Answer<Result>, moved(result));
    } catch (error) {
      try {
        port.postMessage({ id, error } satisfies Answer<Result>);
      } catch {
        // It has something in it that cannot be sent, such as a function.
        port.postMessage({ id, error: new Error(String(error)) } satisfies Answer<Result>);
      }
    }
  });
}
