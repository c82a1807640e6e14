// One model's forward pass as it is timed: on a GPU replayed as a graph where that can be.
import { CudaGraph, type GraphBackend, noGrad, scope, synchronize } from '@mamba-prune/libtorch';

/** On a GPU so many milliseconds of calls are given to it before it is waited for. */
const TARGET_MS = 2;
const MOST_CALLS = 100;

/**
 * A call that can be timed. On the CPU it is timed alone. Waiting for a GPU takes some 10 us, more than
 * a small pass, so calls are timed in groups there: each begins when the one before it ends, as it is
 * where a GPU is kept busy.
 */
export class TimedCall {
  #graph: CudaGraph | undefined;
  #obstacle: string | undefined;
  #group = 1;

  /** @param forward - is run without gradients; what it makes is freed */
  constructor(
    private readonly forward: () => unknown,
    private readonly device: string,
    private readonly backend?: GraphBackend,
  ) {}

  get #onGpu(): boolean {
    return this.device !== 'cpu' || this.backend !== undefined;
  }

  /** `replayed`, or why not; undefined on the CPU. */
  get graph(): string | undefined {
    if (!this.#onGpu) return undefined;
    return this.#graph ? 'replayed' : (this.#obstacle ?? 'not captured');
  }

  /** Calls it so many times, then records it, and finds how many calls to time at once. */
  prepare(warmup: number): void {
    for (let i = 0; i < warmup; i++) this.#run(1);
    if (!this.#onGpu) return;
    const captured = CudaGraph.attempt(this.device, this.#launch, this.backend);
    if (typeof captured === 'string') this.#obstacle = captured;
    else this.#graph = captured;
    this.#run(1);
    const once = Math.max(this.#run(1), 1e-3);
    this.#group = Math.min(MOST_CALLS, Math.max(1, Math.ceil(TARGET_MS / once)));
  }

  readonly #launch = (): void => {
    scope(() => {
      noGrad(this.forward);
    });
  };

  #run(calls: number): number {
    synchronize(this.device);
    const start = performance.now();
    for (let i = 0; i < calls; i++) {
      if (this.#graph) this.#graph.replay();
      else this.#launch();
    }
    synchronize(this.device);
    return performance.now() - start;
  }

  /** @returns milliseconds of one call, and of all that were timed together */
  time(): { readonly each: number; readonly all: number } {
    const all = this.#run(this.#group);
    return { each: all / this.#group, all };
  }

  dispose(): void {
    this.#graph?.dispose();
    this.#graph = undefined;
  }
}
