// Collectives of workers that compute together.
import { fromTypedArray } from '../factories.js';
import { type Handle, native } from '../native.js';
import { scope } from '../scope.js';
import type { Tensor } from '../tensor.js';
import { checkConfig, type WorkerConfig } from './config.js';
import { guarded } from './errors.js';
import { meet } from './rendezvous.js';

export interface ProcessGroupOptions {
  /** Where the tensors are: `cpu` (Gloo), or a GPU as well (NCCL too). Default `cpu`. */
  readonly device?: string | undefined;
  /** Longest time that a collective may take, waiting for the slowest worker. Default 10 minutes. */
  readonly timeoutMs?: number | undefined;
  /** Until all workers are there. Default 5 minutes. */
  readonly joinTimeoutMs?: number | undefined;
  /** Without a heartbeat for so long a worker is gone. Default 15 s. A broken connection tells sooner. */
  readonly silenceMs?: number | undefined;
  /** Stops waiting for the others. */
  readonly signal?: AbortSignal | undefined;
  /** Rank 0 alone: the port that it listens at, for a config with port 0. Not called where a launcher has a store. */
  readonly onListening?: ((port: number) => void) | undefined;
}

/** A collective on its way. */
export interface Work {
  /**
   * Until it is done. On a GPU until the GPU is done too: a wait that a lost worker cannot block.
   * @throws WorkerLostError, DistributedError after the group's timeout
   */
  wait(): void;
}

/**
 * Workers that compute together. All of them must call the same collectives in the same order.
 * Tensors of the CPU go through Gloo, those of a GPU through NCCL.
 *
 * NCCL's can be captured in a `CudaGraph`, by all workers or by none, after the same ones were done without:
 * the first makes the connections. `wait` then belongs into the capture as well, before it ends, and is no
 * wait of the CPU. Such graphs must be disposed of before the group is closed.
 */
export class ProcessGroup {
  readonly rank: number;
  readonly workers: number;
  readonly localRank: number;
  /** @internal */
  readonly handle: Handle;
  readonly #store: Handle;
  #open = true;

  private constructor(config: WorkerConfig, store: Handle, handle: Handle) {
    this.rank = config.rank;
    this.workers = config.workers;
    this.localRank = config.localRank;
    this.#store = store;
    this.handle = handle;
  }

  /**
   * Joins the others.
   * @throws DistributedError if they do not come or do not fit; WorkerLostError if one is lost meanwhile; the signal's reason
   */
  static async open(
    config: WorkerConfig,
    options: ProcessGroupOptions = {},
  ): Promise<ProcessGroup> {
    checkConfig(config);
    const { joinTimeoutMs = 300_000, timeoutMs = 600_000, silenceMs = 15_000 } = options;
    const { signal, onListening, device = 'cpu' } = options;
    const { store, host, port, prefix } = await meet(config, {
      joinTimeoutMs,
      signal,
      onListening,
    });
    try {
      const handle = guarded(() =>
        native.groupOpen(
          host,
          port,
          prefix,
          config.rank,
          config.workers,
          timeoutMs,
          silenceMs,
          device,
        ),
      );
      return new ProcessGroup(config, store, handle);
    } catch (error) {
      native.storeClose(store);
      throw error;
    }
  }

  /**
   * Starts a sum over all workers, in place.
   * @param tensor - contiguous, of one shape and type everywhere; neither read nor written until waited for
   */
  allReduce(tensor: Tensor): Work {
    return this.#work(() => native.allReduce(this.handle, tensor.handle));
  }

  /** Starts to copy rank `root`'s tensor into that of all others. @param tensor - as for allReduce */
  broadcast(tensor: Tensor, root = 0): Work {
    return this.#work(() => native.broadcast(this.handle, tensor.handle, root));
  }

  /** Returns when all workers have come to this place. */
  barrier(): void {
    this.sum([0]);
  }

  /** Sums of numbers over all workers, in float64. @param values - equally many everywhere */
  sum(values: readonly number[]): number[] {
    return scope(() => {
      const tensor = fromTypedArray(Float64Array.from(values), [values.length], { copy: true });
      this.allReduce(tensor).wait();
      return tensor.toNumbers();
    });
  }

  /** Rank `root`'s text, everywhere. @param text - of that rank; the others' is not looked at */
  broadcastText(text = '', root = 0): string {
    return scope(() => {
      const own = Buffer.from(this.rank === root ? text : '');
      const [length = 0] = this.sum([own.length]);
      const bytes = new Uint8Array(length);
      if (this.rank === root) bytes.set(own);
      if (length === 0) return '';
      const tensor = fromTypedArray(bytes, [length], { copy: true });
      this.broadcast(tensor, root).wait();
      return Buffer.from(tensor.toTypedArray() as Uint8Array).toString();
    });
  }

  /**
   * Returns when the devices of all workers have done what was given to them so far: before a value is read
   * that replayed collectives had a part in, for such a read would wait for ever for a worker that is gone.
   * All workers call it, as a collective.
   * @param device - of this worker
   * @throws WorkerLostError, DistributedError after the group's timeout
   */
  settle(device: string): void {
    guarded(() => {
      native.groupSettle(this.handle, device);
    });
  }

  /** @throws WorkerLostError if another worker is gone */
  check(): void {
    guarded(() => {
      native.groupCheck(this.handle);
    });
  }

  /** Leaves in good order: the others may still be busy. Without effect when closed. */
  close(): void {
    this.#close(null);
  }

  /** Leaves because of an error, of which the others are told: theirs names this rank and the reason. */
  fail(reason: string): void {
    this.#close(reason);
  }

  #close(reason: string | null): void {
    if (!this.#open) return;
    this.#open = false;
    native.groupClose(this.handle, reason);
    native.storeClose(this.#store);
  }

  #work(start: () => Handle): Work {
    const work = guarded(start);
    const { handle } = this;
    return {
      wait() {
        guarded(() => {
          native.waitWork(handle, work);
        });
      },
    };
  }
}
