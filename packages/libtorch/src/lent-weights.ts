// Weights in another form that has all of their values, so that they need not be in memory themselves as well.
import { noGrad } from './autograd.js';
import type { Handle } from './native.js';
import { scope } from './scope.js';
import type { Tensor } from './tensor.js';
import { versionOf } from './weights-version.js';

/** Another form of a tensor, and the way back from it, bit for bit. */
export interface ReversibleForm {
  make(source: Tensor): Tensor;
  /** @param shape - of the source */
  restore(form: Tensor, shape: readonly number[]): Tensor;
}

/**
 * One form for each of several tensors, made at the first use, and again of those that were changed or moved, as by
 * `DerivedWeights`. A tensor to which nobody else refers gives up its memory to its form: with its values in memory twice a
 * model would take twice the memory. It has them back as soon as anybody asks for them, and keeps them until a new form
 * is made of it.
 */
export class LentWeights {
  readonly #slots: readonly Slot[];
  #forms: readonly Tensor[] = [];

  /** @param form - is called without gradients, in a scope */
  constructor(sources: readonly Tensor[], form: ReversibleForm) {
    this.#slots = sources.map((source) => new Slot(source, form));
  }

  /** In the order of the sources, of their present values. Each is freed by the next change of its source, or by `release()`. */
  get(): readonly Tensor[] {
    const present = this.#slots.filter(({ isLent }) => !isLent);
    if (!areCurrent(present)) {
      for (const slot of present) if (!areCurrent([slot])) slot.make();
      this.#forms = this.#slots.map(({ form }) => form as Tensor);
    }
    return this.#forms;
  }

  /** Frees the forms, after the tensors that were lent have their values back. The next use makes them again. */
  release(): void {
    for (const slot of this.#slots) slot.release();
  }
}

/** By which of its forms a tensor is held: only one, or two of them would take it from each other by turns. */
const holders = new WeakMap<Tensor, Slot>();

/** A tensor and its form. */
class Slot {
  readonly source: Tensor;
  readonly #way: ReversibleForm;
  /** What the source was when the form was made of it, or it of the form. */
  handle: Handle | undefined;
  version = 0;
  form: Tensor | undefined;
  #isLent = false;

  constructor(source: Tensor, way: ReversibleForm) {
    this.source = source;
    this.#way = way;
  }

  /** Whether the values of the source are those of the form and nowhere else. */
  get isLent(): boolean {
    return this.#isLent && this.source.isLent;
  }

  make(): void {
    const { source } = this;
    this.form?.dispose();
    this.form = noGrad(() => scope(() => this.#way.make(source).keep()));
    this.#isOf(source);
    const holder = holders.get(source) ?? this;
    holders.set(source, holder);
    if (holder === this) this.#isLent = source.lend(() => this.#restore());
  }

  release(): void {
    if (this.isLent) this.source.recall();
    // The tensor may have been given others' values since, and others may lend it from now on.
    this.#isLent = false;
    this.form?.dispose();
    this.form = undefined;
    this.handle = undefined;
    if (holders.get(this.source) === this) holders.delete(this.source);
  }

  #restore(): Tensor {
    const { form, source } = this;
    const restored = noGrad(() => scope(() => this.#way.restore(form as Tensor, source.shape)));
    this.#isLent = false;
    this.#isOf(restored);
    return restored;
  }

  #isOf(tensor: Tensor): void {
    this.handle = tensor.handle;
    this.version = versionOf([tensor]);
  }
}

/** Whether forms are those of their sources' present values; one call compares all. */
function areCurrent(slots: readonly Slot[]): boolean {
  if (!slots.every(({ source, handle }) => source.handle === handle)) return false;
  const version = slots.reduce((sum, slot) => sum + slot.version, 0);
  return slots.length === 0 || versionOf(slots.map(({ source }) => source)) === version;
}
