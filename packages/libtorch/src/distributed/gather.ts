// Workers that have found the store wait there for each other.
import { setTimeout as pause } from 'node:timers/promises';
import { type Handle, native } from '../native.js';
import { libtorchVersion } from '../runtime.js';
import type { WorkerConfig } from './config.js';
import { DistributedError, WorkerLostError } from './errors.js';

/** After an error, for the others to read of it before the store that tells them goes. */
const lingerMs = 5000;

/** What rank 0 tells the others. */
type Decision = 'yes' | { readonly message: string; readonly lost?: number | undefined };

export interface Gathering {
  readonly store: Handle;
  /** Of all keys. */
  readonly prefix: string;
  readonly deadline: number;
  readonly signal: AbortSignal | undefined;
}

/**
 * Everyone says who it is; rank 0 looks whether all are there and alike, and lets them go.
 * @throws DistributedError naming who did not come or differs; WorkerLostError naming who came and ended
 */
export async function gather(gathering: Gathering, config: WorkerConfig): Promise<void> {
  const { rank, workers } = config;
  const meeting = new Meeting(gathering);
  const own = `${workers} workers, libtorch ${libtorchVersion()}`;
  meeting.register(rank, own);
  if (rank !== 0) {
    await meeting.follow();
    return;
  }
  const here = new Set<number>([0]);
  let decision: Decision;
  try {
    decision = await meeting.decide(own, workers, here);
  } catch (error) {
    // Ctrl-C: the others wait for nothing any more.
    await meeting.tell({ message: 'workers: rank 0 stopped before all workers were there.' }, here);
    throw error;
  }
  await meeting.tell(decision, here);
  if (decision !== 'yes') throw errorOf(decision);
}

class Meeting {
  readonly #with: Gathering;

  constructor(gathering: Gathering) {
    this.#with = gathering;
  }

  /** Once for every rank. The store itself says when this process ends. */
  register(rank: number, own: string): void {
    const { store } = this.#with;
    this.#ask(() => {
      if (native.storeAdd(store, this.#key(`claim/${rank}`), 1) !== 1) {
        throw new DistributedError(
          `workers: rank ${rank} is there already, expected every rank once. Give each worker a RANK of its own.`,
        );
      }
      native.storeLeave(store, this.#key(`left/${rank}`), 'yes');
      native.storeSet(store, this.#key(`here/${rank}`), own);
    });
  }

  /** Rank 0: waits for all others. @param here - filled with those who came */
  async decide(own: string, workers: number, here: Set<number>): Promise<Decision> {
    while (here.size < workers) {
      for (let other = 1; other < workers; other++) {
        const has = here.has(other) ? own : this.#get(`here/${other}`);
        if (has === null) continue;
        here.add(other);
        if (has !== own) {
          return { message: `workers: rank ${other} has ${has}, expected as rank 0 ${own}.` };
        }
        if (this.#get(`left/${other}`) !== null) {
          const message = `workers: rank ${other} is gone: it ended before all workers were there.`;
          return { message, lost: other };
        }
      }
      if (here.size === workers) break;
      if (Date.now() > this.#with.deadline) {
        const missing = Array.from({ length: workers }, (_, i) => i).filter((i) => !here.has(i));
        return {
          message:
            `workers: rank ${missing.join(', ')} of ${workers} did not come in time. ` +
            'Has every worker been started, with the same WORLD_SIZE?',
        };
      }
      await this.#pause();
    }
    return 'yes';
  }

  /** Rank 0: what it decided. If that is to end, waits until those who are here have read it. */
  async tell(decision: Decision, here: ReadonlySet<number>): Promise<void> {
    const { store } = this.#with;
    this.#ask(() => {
      native.storeSet(store, this.#key('go'), JSON.stringify(decision));
    });
    if (decision === 'yes') return;
    const others = [...here].filter((rank) => rank !== 0).map((rank) => this.#key(`left/${rank}`));
    const until = Date.now() + lingerMs;
    while (Date.now() < until && !this.#ask(() => native.storeCheck(store, others)))
      await pause(20);
  }

  /** Every other rank: does what rank 0 decides. */
  async follow(): Promise<void> {
    for (;;) {
      const answer = this.#get('go');
      const decision = answer === null ? undefined : (JSON.parse(answer) as Decision);
      if (decision === 'yes') return;
      if (decision !== undefined) throw errorOf(decision);
      // Rank 0 waits as long, and then says who is missing.
      if (Date.now() > this.#with.deadline + lingerMs) {
        throw new DistributedError(
          'workers: all workers did not come in time. Has every worker been started, with the same WORLD_SIZE?',
        );
      }
      await this.#pause();
    }
  }

  #key(name: string): string {
    return `${this.#with.prefix}${name}`;
  }

  #get(name: string): string | null {
    return this.#ask(() => native.storeGet(this.#with.store, this.#key(name)));
  }

  /** The store is rank 0's: where it is lost, rank 0 is. */
  #ask<T>(request: () => T): T {
    try {
      return request();
    } catch (error) {
      if (error instanceof DistributedError) throw error;
      const [reason = ''] = (error as Error).message.split('\n');
      throw new WorkerLostError(
        0,
        `workers: rank 0 is gone: it ended before all workers were there (${reason}).`,
        { cause: error },
      );
    }
  }

  async #pause(): Promise<void> {
    const { signal } = this.#with;
    signal?.throwIfAborted();
    await pause(20, undefined, signal && { signal });
  }
}

function errorOf(decision: Exclude<Decision, 'yes'>): DistributedError {
  const { message, lost } = decision;
  return lost === undefined ? new DistributedError(message) : new WorkerLostError(lost, message);
}
