import { Worker } from 'node:worker_threads';
import type { Batch, BatchJob, BatchRecipe } from './batch.js';
import { DataError } from './errors.js';

interface Waiting {
  resolve: (batch: Batch) => void;
  reject: (error: Error) => void;
}
interface Answer {
  id: number;
  batch?: Batch;
  error?: string;
}

/**
 * Makes batches on other threads, so that a training loop that keeps the main thread busy does not
 * wait for augmentation. Arrays are moved, not copied. Idle threads do not keep the process alive.
 */
export class BatchThreads {
  readonly #workers: Worker[] = [];
  readonly #waiting = new Map<number, Waiting & { worker: Worker }>();
  #nextId = 0;
  #failure: Error | undefined;

  constructor(count: number, recipe: BatchRecipe, file: URL) {
    for (let i = 0; i < count; i++) {
      const worker = new Worker(file, { workerData: recipe });
      worker.unref();
      worker.on('message', (answer: Answer) => {
        this.#settle(answer);
      });
      worker.on('error', (error) => {
        this.#fail(error instanceof Error ? error : new Error(String(error)));
      });
      worker.on('exit', (code) => {
        if (!this.#workers.includes(worker)) return; // `close` ends it.
        this.#fail(
          new DataError(
            `BatchLoader: a thread ended with status ${code}, expected it to make batches. Begin again, or set threads to 0.`,
          ),
        );
      });
      this.#workers.push(worker);
    }
  }

  make(job: BatchJob): Promise<Batch> {
    if (this.#failure) return Promise.reject(this.#failure);
    const id = this.#nextId++;
    const worker = this.#workers[id % this.#workers.length];
    if (!worker) return Promise.reject(new DataError('BatchThreads: closed, expected open.'));
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject, worker });
      worker.ref();
      const arrays = [job.pixels, job.indices, job.labels, ...(job.images ? [job.images] : [])];
      const moved = arrays.map((array) => array.buffer as ArrayBuffer);
      worker.postMessage({ id, job }, moved);
    });
  }

  async close(): Promise<void> {
    const workers = this.#workers.splice(0);
    await Promise.all(workers.map((worker) => worker.terminate()));
    this.#fail(new DataError('BatchThreads: closed while batches were being made.'));
  }

  #settle({ id, batch, error }: Answer): void {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (![...this.#waiting.values()].some((other) => other.worker === waiting?.worker)) {
      waiting?.worker.unref();
    }
    if (batch) waiting?.resolve(batch);
    else waiting?.reject(new DataError(`BatchLoader: a thread failed: ${error ?? 'no reason'}.`));
  }

  #fail(error: Error): void {
    // What failed first is the reason.
    this.#failure ??= error;
    for (const { reject, worker } of this.#waiting.values()) {
      worker.unref();
      reject(error);
    }
    this.#waiting.clear();
  }
}
