import { ThreadPool } from '../thread-pool.js';
import type { Batch, BatchJob, BatchRecipe } from './batch.js';
import { DataError, reasonOf } from './errors.js';

const errors = {
  failed: (cause: unknown) =>
    new DataError(`BatchLoader: a thread failed: ${reasonOf(cause)}.`, { cause }),
  ended: (status: number) =>
    new DataError(
      `BatchLoader: a thread ended with status ${status}, expected it to make batches. Begin again, or set threads to 0.`,
    ),
  closed: () => new DataError('BatchLoader: its threads are closed, expected them to be open.'),
};

/**
 * Makes batches on other threads, so that a training loop that keeps the main thread busy does not
 * wait for augmentation. Arrays are moved, not copied.
 */
export class BatchThreads {
  readonly #pool: ThreadPool<BatchJob, Batch>;

  /** @param file - the compiled batch-worker.ts */
  constructor(count: number, recipe: BatchRecipe, file: URL) {
    this.#pool = new ThreadPool(file, count, errors, recipe);
  }

  /** @throws DataError for a thread that fails, ends or is closed */
  make(job: BatchJob): Promise<Batch> {
    const arrays = [job.pixels, job.indices, job.labels, ...(job.images ? [job.images] : [])];
    return this.#pool.run(
      job,
      arrays.map((array) => array.buffer as ArrayBuffer),
    );
  }

  close(): Promise<void> {
    return this.#pool.close();
  }
}
