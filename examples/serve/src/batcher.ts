// Dynamic batching: requests that come at about the same time share one inference. One runs at a time; what
// comes meanwhile is the next batch.
import { stopping } from './errors.js';

export interface BatcherOptions {
  readonly maxBatch: number;
  /** How long an item waits for others while nothing is running. */
  readonly waitMs: number;
}

export interface Batched<R> {
  readonly value: R;
  /** Items that shared the inference. */
  readonly batch: number;
  readonly queueMs: number;
  readonly runMs: number;
}

interface Waiting<T, R> {
  readonly item: T;
  readonly since: number;
  readonly resolve: (result: Batched<R>) => void;
  readonly reject: (reason: unknown) => void;
}

export class Batcher<T, R> {
  readonly #queue: Waiting<T, R>[] = [];
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;
  #closed = false;

  /** @param run - gives a result for every item, in their order */
  constructor(
    private readonly run: (items: readonly T[]) => Promise<readonly R[]>,
    private readonly options: BatcherOptions,
  ) {}

  /** Items that wait for their batch. */
  get waiting(): number {
    return this.#queue.length;
  }

  /**
   * @param signal - takes the item out of the queue; one that is running already is only forgotten
   * @throws the signal's reason, what `run` throws, or 503 when the batcher is closed
   */
  submit(item: T, signal?: AbortSignal): Promise<Batched<R>> {
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      if (this.#closed) throw stopping();
      const waiting: Waiting<T, R> = { item, since: performance.now(), resolve, reject };
      this.#queue.push(waiting);
      signal?.addEventListener(
        'abort',
        () => {
          const place = this.#queue.indexOf(waiting);
          if (place >= 0) this.#queue.splice(place, 1);
          reject(signal.reason as Error);
        },
        { once: true },
      );
      this.#plan();
    });
  }

  /** Takes nothing more; resolves when all that was taken is done. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#plan();
    while (this.#running) await this.#running;
  }

  #plan(): void {
    if (this.#running) return;
    clearTimeout(this.#timer);
    const [oldest] = this.#queue;
    if (!oldest) return;
    const { maxBatch, waitMs } = this.options;
    const left = oldest.since + waitMs - performance.now();
    if (this.#closed || this.#queue.length >= maxBatch || left <= 0) {
      this.#running = this.#next();
    } else {
      this.#timer = setTimeout(() => {
        this.#plan();
      }, Math.ceil(left));
    }
  }

  async #next(): Promise<void> {
    const batch = this.#queue.splice(0, this.options.maxBatch);
    const started = performance.now();
    try {
      const values = await this.run(batch.map(({ item }) => item));
      const runMs = performance.now() - started;
      batch.forEach(({ since, resolve }, i) => {
        const value = values[i] as R;
        resolve({ value, batch: batch.length, queueMs: started - since, runMs });
      });
    } catch (error) {
      for (const { reject } of batch) reject(error);
    } finally {
      this.#running = undefined;
      this.#plan();
    }
  }
}
