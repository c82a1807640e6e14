// Weights in another form, such as the layout that a kernel reads fastest, kept as long as they are those of the
// parameters: every change in place counts up a tensor's version, which is compared at each use.
import { noGrad } from './autograd.js';
import { scope } from './scope.js';
import type { Tensor } from './tensor.js';
import { WeightValues } from './weight-values.js';

interface Made {
  readonly tensors: readonly Tensor[];
  /** Those of the sources' values that these were made of. */
  readonly identities: readonly object[];
}

/**
 * Tensors computed from others, made at their first use and again whenever one of the others was changed or moved.
 *
 * A write past libtorch, to an array that a tensor borrows, is not seen. Nor are the statistics that `BatchNorm2d`
 * gathers: give its `numBatchesTracked` as a source too, which counts with them.
 */
export class DerivedWeights {
  #made: Made | undefined;
  readonly #sources: readonly WeightValues[];
  readonly #make: () => readonly Tensor[];

  /**
   * @param sources - all that `make` reads
   * @param make - is called without gradients, in a scope: what it returns is kept, the rest freed
   */
  constructor(sources: readonly Tensor[], make: () => readonly Tensor[]) {
    this.#sources = sources.map((source) => WeightValues.of(source));
    this.#make = make;
  }

  /** As of the sources' present values. They are freed by the next change or `release()`: do not keep them. */
  get(): readonly Tensor[] {
    WeightValues.noticeChanges(this.#sources);
    const made = this.#made;
    if (made && this.#sources.every(({ identity }, i) => identity === made.identities[i])) {
      return made.tensors;
    }
    this.release();
    const tensors = noGrad(() => scope(() => this.#make().map((tensor) => tensor.keep())));
    this.#made = { tensors, identities: this.#sources.map(({ identity }) => identity) };
    return tensors;
  }

  /** Frees them; the next use makes them again. */
  release(): void {
    for (const tensor of this.#made?.tensors ?? []) tensor.dispose();
    this.#made = undefined;
  }
}
