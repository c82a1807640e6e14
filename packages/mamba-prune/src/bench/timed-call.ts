// One model's forward pass as it is timed: on a GPU replayed as a graph where that can be; and one of
// another runtime.
import { setTimeout as sleep } from 'node:timers/promises';
import { CudaGraph, type GraphBackend, noGrad, scope, synchronize } from '@mamba-prune/libtorch';

/** On a GPU so many milliseconds of calls are given to it before it is waited for. */
const targetMs = 2;
const mostCalls = 100;

/** Milliseconds of one call, and of all that were timed together. */
export interface Lap {
  readonly each: number;
  readonly all: number;
}

/** Promises are of runtimes that compute beside JavaScript; nothing waits where there is none. */
export interface Timed {
  /** `replayed`, or why not; undefined where that is no question. */
  readonly graph: string | undefined;
  prepare(warmup: number): Promise<void> | undefined;
  time(): Lap | Promise<Lap>;
  /** Between its turn and the next model's. */
  rest?(): Promise<unknown>;
  dispose(): void;
}

/** onnxruntime's threads look for more work for 45 ms after a call (1.30), which slows whoever is next. */
const settleMs = 60;

/** A call of another runtime, timed alone from its start to its results. */
export class ForeignCall implements Timed {
  readonly graph = undefined;

  readonly #run: () => Promise<unknown>;

  constructor(run: () => Promise<unknown>) {
    this.#run = run;
  }

  async prepare(warmup: number): Promise<void> {
    for (let i = 0; i < warmup; i++) await this.#run();
  }

  async time(): Promise<Lap> {
    const start = performance.now();
    await this.#run();
    const all = performance.now() - start;
    return { each: all, all };
  }

  rest(): Promise<unknown> {
    return sleep(settleMs);
  }

  dispose(): void {
    // Whoever made the call frees the model.
  }
}

/**
 * A call that can be timed. On the CPU it is timed alone. Waiting for a GPU takes some 10 us, more than
 * a small pass, so calls are timed in groups there: each begins when the one before it ends, as it is
 * where a GPU is kept busy.
 */
export class TimedCall implements Timed {
  #graph: CudaGraph | undefined;
  #obstacle: string | undefined;
  #group = 1;

  readonly #forward: () => unknown;
  readonly #device: string;
  readonly #backend: GraphBackend | undefined;

  /** @param forward - is run without gradients; what it makes is freed */
  constructor(forward: () => unknown, device: string, backend?: GraphBackend) {
    this.#forward = forward;
    this.#device = device;
    this.#backend = backend;
  }

  get #onGpu(): boolean {
    return this.#device !== 'cpu' || this.#backend !== undefined;
  }

  /** `replayed`, or why not; undefined on the CPU. */
  get graph(): string | undefined {
    if (!this.#onGpu) return undefined;
    return this.#graph ? 'replayed' : (this.#obstacle ?? 'not captured');
  }

  /**
   * Calls it so many times, on a GPU at least once, then records it, and finds how many calls to time at once. What only a first
   * call makes, such as weights in a kernel's own order, would be recorded with it and be made again by every replay.
   */
  prepare(warmup: number): undefined {
    const calls = this.#onGpu ? Math.max(1, warmup) : warmup;
    for (let i = 0; i < calls; i++) this.#run(1);
    if (!this.#onGpu) return;
    const captured = CudaGraph.attempt(this.#device, this.#launch, this.#backend);
    if (typeof captured === 'string') this.#obstacle = captured;
    else this.#graph = captured;
    this.#run(1);
    const once = Math.max(this.#run(1), 1e-3);
    this.#group = Math.min(mostCalls, Math.max(1, Math.ceil(targetMs / once)));
  }

  readonly #launch = (): void => {
    scope(() => {
      noGrad(this.#forward);
    });
  };

  #run(calls: number): number {
    synchronize(this.#device);
    const start = performance.now();
    for (let i = 0; i < calls; i++) {
      if (this.#graph) this.#graph.replay();
      else this.#launch();
    }
    synchronize(this.#device);
    return performance.now() - start;
  }

  time(): Lap {
    const all = this.#run(this.#group);
    return { each: all / this.#group, all };
  }

  dispose(): void {
    this.#graph?.dispose();
    this.#graph = undefined;
  }
}
