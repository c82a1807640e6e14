// Weights in another form, such as the layout that a kernel reads fastest, kept as long as they are those of the
// parameters: every change in place counts up a tensor's version, which is compared at each use.
import { noGrad } from './autograd.js';
import type { Handle } from './native.js';
import { scope } from './scope.js';
import type { Tensor } from './tensor.js';
import { versionOf } from './weights-version.js';

interface Made {
  readonly tensors: readonly Tensor[];
  /** What the sources were when these were made. */
  readonly handles: readonly Handle[];
  readonly version: number;
}

/**
 * Tensors computed from others, made at their first use and again whenever one of the others was changed or moved.
 *
 * A write past libtorch, to an array that a tensor borrows, is not seen. Nor are the statistics that `BatchNorm2d`
 * gathers: give its `numBatchesTracked` as a source too, which counts with them.
 */
export class DerivedWeights {
  #made: Made | undefined;
  readonly #sources: readonly Tensor[];
  readonly #make: () => readonly Tensor[];

  /**
   * @param sources - all that `make` reads
   * @param make - is called without gradients, in a scope: what it returns is kept, the rest freed
   */
  constructor(sources: readonly Tensor[], make: () => readonly Tensor[]) {
    this.#sources = sources;
    this.#make = make;
  }

  /** As of the sources' present values. They are freed by the next change or `release()`: do not keep them. */
  get(): readonly Tensor[] {
    const version = versionOf(this.#sources);
    const made = this.#made;
    const current =
      made?.version === version &&
      this.#sources.every(({ handle }, i) => handle === made.handles[i]);
    if (current) return made.tensors;
    this.release();
    const tensors = noGrad(() => scope(() => this.#make().map((tensor) => tensor.keep())));
    const handles = this.#sources.map(({ handle }) => handle);
    this.#made = { tensors, handles, version };
    return tensors;
  }

  /** Frees them; the next use makes them again. */
  release(): void {
    for (const tensor of this.#made?.tensors ?? []) tensor.dispose();
    this.#made = undefined;
  }
}
