// Gradients that are averaged over the workers while backward still runs.
import { type Handle, native } from '../native.js';
import type { Tensor } from '../tensor.js';
import { guarded } from './errors.js';
import type { ProcessGroup } from './process-group.js';

export interface GradientBucketsOptions {
  /** Gradients summed in one collective. Default 25 MiB. A larger parameter has a bucket of its own. */
  readonly bucketBytes?: number | undefined;
}

/**
 * Averages gradients over the workers while backward still runs: see native/bindings/buckets.cc.
 *
 *     buckets.begin(share); loss.backward(); buckets.finish(); optimizer.step();
 *
 * The hooks live as long as this object: dispose it before the group is closed.
 */
export class GradientBuckets {
  readonly #handle: Handle;
  /** Number of collectives a step. */
  readonly count: number;

  /** @param parameters - leaves that require grad, in the same order everywhere, none twice */
  constructor(
    group: ProcessGroup,
    parameters: readonly Tensor[],
    { bucketBytes = 25 * 2 ** 20 }: GradientBucketsOptions = {},
  ) {
    const handles = parameters.map((tensor) => tensor.handle);
    this.#handle = guarded(() => native.bucketsOpen(group.handle, handles, bucketBytes));
    this.count = native.bucketsCount(this.#handle);
  }

  /**
   * Before the one backward of a step.
   * @param weight - this worker's share of the step's samples; the shares of all workers sum to 1
   */
  begin(weight: number): void {
    guarded(() => {
      native.bucketsBegin(this.#handle, weight);
    });
  }

  /**
   * After backward: the gradients become the weighted means over all workers. A parameter without a
   * gradient here keeps none.
   * @returns how many buckets were on their way before backward had ended
   * @throws WorkerLostError, DistributedError
   */
  finish(): number {
    return guarded(() => native.bucketsFinish(this.#handle));
  }

  dispose(): void {
    native.bucketsClose(this.#handle);
  }
}
