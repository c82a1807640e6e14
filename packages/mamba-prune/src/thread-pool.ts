/**
 * Threads of Node.js that do jobs for the main thread. Their script calls `doJobs`.
 *
 * What it promises:
 * - A thread starts when a job finds none that is idle, up to the number asked for; a job beyond that waits for the thread with
 *   the fewest.
 * - Every job ends: with its result, with what it threw, with the reason why its thread ended, or by `close`. A thread that has
 *   ended is replaced by the next job.
 * - Threads without a job do not keep the process alive, and those with one do.
 */
import { Worker } from 'node:worker_threads';
import type { Answer, Task } from './thread-jobs.js';

/** The errors that the users of a pool know. */
export interface PoolErrors {
  /** A job failed, or its thread, by what stands below. */
  failed(cause: unknown): Error;
  /** A thread ended without an error. @param status - of its exit */
  ended(status: number): Error;
  /** The pool was closed before the job was done, or before it came. */
  closed(): Error;
}

interface Waiting<Result> {
  readonly resolve: (result: Result) => void;
  readonly reject: (error: Error) => void;
}

interface Thread<Result> {
  readonly worker: Worker;
  /** By their ids. */
  readonly jobs: Map<number, Waiting<Result>>;
}

export class ThreadPool<Job, Result> {
  readonly #threads: Thread<Result>[] = [];
  readonly #start: () => Worker;
  readonly #count: number;
  readonly #errors: PoolErrors;
  #nextId = 0;
  #isClosed = false;

  /**
   * @param script - compiled
   * @param count - at least 1
   * @param workerData - what every thread is given; it is copied
   */
  constructor(script: URL, count: number, errors: PoolErrors, workerData?: unknown) {
    // Without the flags of this process: some, as --input-type, are for its own script.
    this.#start = () => new Worker(script, { workerData, execArgv: [] });
    this.#count = count;
    this.#errors = errors;
  }

  /**
   * @param moved - the memory of the job that is handed over and not copied
   * @throws as `PoolErrors` says; DataCloneError for a job that cannot be sent
   */
  async run(job: Job, moved: readonly ArrayBuffer[] = []): Promise<Result> {
    if (this.#isClosed) throw this.#errors.closed();
    const thread = this.#next();
    const id = this.#nextId++;
    // First of all: what cannot be sent has no answer to wait for.
    thread.worker.postMessage({ id, job } satisfies Task<Job>, moved);
    return new Promise((resolve, reject) => {
      thread.jobs.set(id, { resolve, reject });
      thread.worker.ref();
    });
  }

  /** Ends the threads, and with them what they are at. A closed pool stays closed. */
  async close(): Promise<void> {
    this.#isClosed = true;
    const threads = [...this.#threads];
    for (const thread of threads) this.#lose(thread, this.#errors.closed());
    await Promise.all(threads.map(({ worker }) => worker.terminate()));
  }

  #next(): Thread<Result> {
    const [first, ...others] = this.#threads;
    let least = first;
    for (const thread of others) {
      if (thread.jobs.size < (least?.jobs.size ?? 0)) least = thread;
    }
    return least && (least.jobs.size === 0 || this.#threads.length >= this.#count)
      ? least
      : this.#add();
  }

  #add(): Thread<Result> {
    const thread: Thread<Result> = { worker: this.#start(), jobs: new Map() };
    const { worker } = thread;
    const fail = (error: unknown): void => {
      this.#lose(thread, this.#errors.failed(error));
    };
    worker.unref();
    worker.on('message', (answer: Answer<Result>) => {
      this.#settle(thread, answer);
    });
    worker.on('error', fail);
    // Nobody knows which of its jobs the message was for.
    worker.on('messageerror', (error) => {
      fail(error);
      void worker.terminate();
    });
    worker.on('exit', (status) => {
      this.#lose(thread, this.#errors.ended(status));
    });
    this.#threads.push(thread);
    return thread;
  }

  #settle({ jobs, worker }: Thread<Result>, answer: Answer<Result>): void {
    const waiting = jobs.get(answer.id);
    jobs.delete(answer.id);
    if (jobs.size === 0) worker.unref();
    if ('result' in answer) waiting?.resolve(answer.result);
    else waiting?.reject(this.#errors.failed(answer.error));
  }

  /** What happens to a thread first is the reason for all its jobs. */
  #lose(thread: Thread<Result>, error: Error): void {
    const place = this.#threads.indexOf(thread);
    if (place >= 0) this.#threads.splice(place, 1);
    thread.worker.unref();
    for (const { reject } of thread.jobs.values()) reject(error);
    thread.jobs.clear();
  }
}
