// `mamba-prune/preparation/threads`: preparing pictures beside the main thread of Node.js. A photograph of 12 megapixels
// takes a tenth of a second, in which a server answers nobody and a training hands nothing to its device.
import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { ThreadPool } from '../thread-pool.js';
import { type ModelInput, type Picture, prepare } from './prepare.js';
import type { PrepareJob } from './prepare-worker.js';
import type { Preprocessing } from './preprocessing.js';

/**
 * Pixels below which the main thread does it itself on a machine with few processors: handing over costs as much
 * as it saves there. Of 500x375 pixels, decoding and preparing took 5.1 ms of processor time on the main thread and
 * 6.3 with two threads on two processors, which had the fewer images per second for it.
 */
const small = availableParallelism() > 4 ? 0 : 1_000_000;

/** More gain nothing: decoding, which is on other threads, takes longer. */
const mostThreads = 4;

const errors = {
  failed: (cause: unknown) => new Error(String(cause), { cause }),
  ended: (status: number) => new Error(`prepare: a thread ended with status ${status}`),
  closed: () => new Error('PrepareThreads: closed, expected open.'),
};

/**
 * Threads that start when they are needed, and that do not keep the process alive. Where the compiled script is
 * missing, as in tests on the sources and in bundles, the main thread does the work; the bits are the same.
 */
export class PrepareThreads {
  readonly #pool: ThreadPool<PrepareJob, Uint8Array> | undefined;

  /** @param count - 0: the main thread. By default as many as there are processors, at most 4. */
  constructor(count = Math.min(mostThreads, availableParallelism())) {
    const script = new URL('./prepare-worker.js', import.meta.url);
    if (count > 0 && existsSync(script)) this.#pool = new ThreadPool(script, count, errors);
  }

  /**
   * As `prepare`.
   * @throws Error with what `prepare` threw as its cause, or saying that the thread ended or was closed
   */
  async prepare(
    picture: Picture,
    input: ModelInput,
    preprocessing: Preprocessing,
  ): Promise<Uint8Array> {
    const pool = picture.width * picture.height < small ? undefined : this.#pool;
    // Copied: what sharp gives cannot be moved to another thread.
    return pool?.run({ picture, input, preprocessing }) ?? prepare(picture, input, preprocessing);
  }

  /** Ends the threads, and with them what they are at. */
  async close(): Promise<void> {
    await this.#pool?.close();
  }
}
