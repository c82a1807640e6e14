// Weights in another form that has all of their values, so that they need not be in memory themselves as well.
import { noGrad } from './autograd.js';
import { scope } from './scope.js';
import type { Tensor } from './tensor.js';
import { WeightValues } from './weight-values.js';

/** Another form of a tensor, and the way back from it, bit for bit. */
export interface ReversibleForm {
  make(source: Tensor): Tensor;
  /** @param shape - of the source */
  restore(form: Tensor, shape: readonly number[]): Tensor;
}

/**
 * One form for each of several tensors, made at the first use, and again of those that were changed or moved, as by
 * `DerivedWeights`. A tensor to which nobody else refers gives up its memory to its form: with its values in memory twice a
 * model would take twice the memory. It has them back as soon as anybody asks for them, and gives them up again at a later use.
 */
export class LentWeights {
  readonly #slots: readonly Slot[];
  readonly #values: readonly WeightValues[];
  #forms: readonly Tensor[] = [];

  /** @param form - is called without gradients, in a scope */
  constructor(sources: readonly Tensor[], form: ReversibleForm) {
    this.#slots = sources.map((source) => new Slot(source, form));
    this.#values = this.#slots.map(({ values }) => values);
  }

  /** In the order of the sources, of their present values. Each is freed by the next change of its source, or by `release()`. */
  get(): readonly Tensor[] {
    WeightValues.noticeChanges(this.#values);
    let isMade = false;
    for (const slot of this.#slots) {
      if (slot.isCurrent) {
        slot.lendAgain();
      } else {
        slot.make();
        isMade = true;
      }
    }
    if (isMade) this.#forms = this.#slots.map(({ form }) => form as Tensor);
    return this.#forms;
  }

  /** Frees the forms, after the tensors that were lent have their values back. The next use makes them again. */
  release(): void {
    for (const slot of this.#slots) slot.release();
  }
}

/** A tensor and its form. */
class Slot {
  readonly values: WeightValues;
  readonly #way: ReversibleForm;
  form: Tensor | undefined;
  /** That of the values that the form has. */
  #identity: object | undefined;

  constructor(source: Tensor, way: ReversibleForm) {
    this.values = WeightValues.of(source);
    this.#way = way;
  }

  get isCurrent(): boolean {
    return this.form !== undefined && this.#identity === this.values.identity;
  }

  make(): void {
    this.form?.dispose();
    this.form = undefined;
    this.form = noGrad(() => scope(() => this.#way.make(this.values.tensor).keep()));
    this.#identity = this.values.identity;
    this.#lend();
  }

  /** What somebody looked at would else stay in memory twice. */
  lendAgain(): void {
    if (!this.values.tensor.isLent && this.values.waitIsOver()) this.#lend();
  }

  release(): void {
    if (this.values.isLentBy(this)) this.values.tensor.recall();
    this.form?.dispose();
    this.form = undefined;
  }

  #lend(): void {
    const { shape } = this.values.tensor;
    this.values.lend(this, () =>
      noGrad(() => scope(() => this.#way.restore(this.form as Tensor, shape))),
    );
  }
}
