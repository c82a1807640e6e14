// `mamba-prune/preparation/threads`: preparing pictures beside the main thread of Node.js. A photograph of 12 megapixels
// takes a tenth of a second, in which a server answers nobody and a training hands nothing to its device.
import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { type ModelInput, type Picture, prepare } from './prepare.js';
import type { PrepareJob } from './prepare-worker.js';
import type { Preprocessing } from './preprocessing.js';

interface Answer {
  readonly id: number;
  readonly pixels?: Uint8Array;
  readonly error?: string;
}

interface Waiting {
  readonly thread: Worker;
  readonly resolve: (pixels: Uint8Array) => void;
  readonly reject: (error: Error) => void;
}

/**
 * Pixels below which the main thread does it itself on a machine with few processors: handing over costs as much
 * as it saves there. Of 500x375 pixels, decoding and preparing took 5.1 ms of processor time on the main thread and
 * 6.3 with two threads on two processors, which had the fewer images per second for it.
 */
const small = availableParallelism() > 4 ? 0 : 1_000_000;

/** More gain nothing: decoding, which is on other threads, takes longer. */
const mostThreads = 4;

/**
 * Threads that start when they are needed, and that do not keep the process alive. Where the compiled script is
 * missing, as in tests on the sources and in bundles, the main thread does the work; the bits are the same.
 */
export class PrepareThreads {
  readonly #threads: Worker[] = [];
  readonly #waiting = new Map<number, Waiting>();
  readonly #script = new URL('./prepare-worker.js', import.meta.url);
  readonly #count: number;
  #nextId = 0;

  /** @param count - 0: the main thread. By default as many as there are processors, at most 4. */
  constructor(count = Math.min(mostThreads, availableParallelism())) {
    this.#count = existsSync(this.#script) ? count : 0;
  }

  /** As `prepare`. */
  async prepare(
    picture: Picture,
    input: ModelInput,
    preprocessing: Preprocessing,
  ): Promise<Uint8Array> {
    const thread = picture.width * picture.height < small ? undefined : this.#next();
    if (!thread) return prepare(picture, input, preprocessing);
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { thread, resolve, reject });
      thread.ref();
      const job: PrepareJob = { id, picture, input, preprocessing };
      // Copied: what sharp gives cannot be moved to another thread.
      thread.postMessage(job);
    });
  }

  /** Ends the threads. */
  async close(): Promise<void> {
    await Promise.all(this.#threads.splice(0).map((thread) => thread.terminate()));
  }

  #next(): Worker | undefined {
    if (this.#count === 0) return undefined;
    const thread = this.#threads[this.#nextId % this.#count];
    if (thread || this.#threads.length === this.#count) return thread;
    return this.#start();
  }

  #start(): Worker {
    // Without the flags of this process: some, as --input-type, are for its own script.
    const thread = new Worker(this.#script, { execArgv: [] });
    thread.unref();
    thread.on('message', ({ id, pixels, error }: Answer) => {
      const waiting = this.#settle(id);
      if (pixels) waiting?.resolve(pixels);
      else waiting?.reject(new Error(error ?? 'prepare: a thread failed'));
    });
    const lose = (error: Error): void => {
      const place = this.#threads.indexOf(thread);
      if (place >= 0) this.#threads.splice(place, 1);
      for (const [id, waiting] of this.#waiting) {
        if (waiting.thread !== thread) continue;
        this.#settle(id);
        waiting.reject(error);
      }
    };
    thread.on('error', (error: unknown) => {
      lose(error instanceof Error ? error : new Error(String(error)));
    });
    thread.on('exit', () => {
      lose(new Error('prepare: a thread has ended'));
    });
    this.#threads.push(thread);
    return thread;
  }

  #settle(id: number): Waiting | undefined {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (waiting && ![...this.#waiting.values()].some(({ thread }) => thread === waiting.thread)) {
      waiting.thread.unref();
    }
    return waiting;
  }
}
