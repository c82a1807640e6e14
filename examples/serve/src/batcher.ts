// Dynamic batching: requests that come at about the same time share one inference. One runs at a time; what
// comes meanwhile is the next batch.
//
// A batch is cut at once when it is full. Otherwise the time only says when to cut, and the cut itself waits
// for the end of the event loop's turn: however late this process gets the processor back, all that was
// submitted in that turn, or lay ready to be read, goes together.
import { type Clock, realClock } from './clock.js';
import { stopping } from './errors.js';

export interface BatcherOptions {
  readonly maxBatch: number;
  /** How long an item waits for others while nothing is running. */
  readonly waitMs: number;
  /** The real one by default. */
  readonly clock?: Clock;
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
  readonly #clock: Clock;
  #cancelTimer: (() => void) | undefined;
  /** The cut at the end of this turn of the event loop. */
  #turn: NodeJS.Immediate | undefined;
  #running: Promise<void> | undefined;
  #hurried = false;
  #closed = false;

  readonly #run: (items: readonly T[]) => Promise<readonly R[]>;
  readonly #options: BatcherOptions;

  /** @param run - gives a result for every item, in their order */
  constructor(run: (items: readonly T[]) => Promise<readonly R[]>, options: BatcherOptions) {
    this.#run = run;
    this.#options = options;
    this.#clock = options.clock ?? realClock;
  }

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
      const waiting: Waiting<T, R> = { item, since: this.#clock.now(), resolve, reject };
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

  /** From now on nothing waits for company: what would come is not let in any more. */
  hurry(): void {
    this.#hurried = true;
    this.#plan();
  }

  /** Takes nothing more; resolves when all that was taken is done. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#plan();
    while (this.#running) await this.#running;
  }

  #plan(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    const [oldest] = this.#queue;
    if (this.#running || !oldest) return;
    const { maxBatch, waitMs } = this.#options;
    if (this.#closed || this.#queue.length >= maxBatch) {
      this.#cut();
      return;
    }
    if (this.#turn) return;
    const left = this.#hurried ? 0 : oldest.since + waitMs - this.#clock.now();
    if (left > 0) {
      this.#cancelTimer = this.#clock.after(Math.ceil(left), () => {
        this.#plan();
      });
    } else {
      this.#turn = setImmediate(() => {
        this.#cut();
      });
    }
  }

  #cut(): void {
    clearImmediate(this.#turn);
    this.#turn = undefined;
    // Those it was for may have gone meanwhile.
    if (this.#queue.length > 0) this.#running = this.#next();
  }

  async #next(): Promise<void> {
    const batch = this.#queue.splice(0, this.#options.maxBatch);
    const started = this.#clock.now();
    try {
      const values = await this.#run(batch.map(({ item }) => item));
      const runMs = this.#clock.now() - started;
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
