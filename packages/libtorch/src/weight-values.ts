// Whether tensors still have the values that another form was made of, and who has these values where they were lent.
import { callOperator } from './dispatch.js';
import type { Handle } from './native.js';
import type { Tensor } from './tensor.js';

/** The sum of the tensors' versions, which every change in place counts up; one call for all. */
const versionOf = (tensors: readonly Tensor[]): number =>
  callOperator('mamba_prune::weights_version', tensors) as number;

/** Up to how many uses a tensor that was looked at waits until it is lent again. */
const longestWait = 64;

const known = new WeakMap<Tensor, WeightValues>();

/** What is known of a tensor's values. All forms of a tensor share it: what one of them lends is unchanged to the others. */
export class WeightValues {
  readonly tensor: Tensor;
  /** Another object after every change, as of the last `noticeChanges`. */
  identity: object = {};
  /** What the tensor was then. */
  #handle: Handle | undefined;
  #version = 0;
  #lender: object | undefined;
  /** Uses of forms since the tensor was lent or there was a try, and how many there are to be until the next one. */
  #uses = 0;
  #wait = 1;

  private constructor(tensor: Tensor) {
    this.tensor = tensor;
  }

  static of(tensor: Tensor): WeightValues {
    const values = known.get(tensor) ?? new WeightValues(tensor);
    known.set(tensor, values);
    return values;
  }

  /** Gives those that have changed another identity, without a look at the values: what is lent stays lent. */
  static noticeChanges(all: readonly WeightValues[]): void {
    const present = all.filter(({ tensor }) => !tensor.isLent);
    if (present.length === 0 || WeightValues.#areUnchanged(present)) return;
    for (const values of present) {
      if (WeightValues.#areUnchanged([values])) continue;
      values.identity = {};
      values.#isOf(values.tensor);
    }
  }

  static #areUnchanged(all: readonly WeightValues[]): boolean {
    if (!all.every((values) => values.tensor.handle === values.#handle)) return false;
    const version = all.reduce((sum, values) => sum + values.#version, 0);
    return versionOf(all.map(({ tensor }) => tensor)) === version;
  }

  /** As `Tensor.lend`. @param restore - makes the same values again */
  lend(lender: object, restore: () => Tensor): boolean {
    const isLent = this.tensor.lend(() => {
      const restored = restore();
      this.#isOf(restored);
      return restored;
    });
    if (isLent) this.#lender = lender;
    return isLent;
  }

  isLentBy(lender: object): boolean {
    return this.tensor.isLent && this.#lender === lender;
  }

  /**
   * Whether a tensor that is there, because somebody looked at it or has it, is to be lent again at this use of its form. Each time
   * that takes twice as many uses: one who looks between every two of them does not have the tensor made again each time.
   */
  waitIsOver(): boolean {
    if (++this.#uses < this.#wait) return false;
    this.#uses = 0;
    this.#wait = Math.min(2 * this.#wait, longestWait);
    return true;
  }

  #isOf(tensor: Tensor): void {
    this.#handle = tensor.handle;
    this.#version = versionOf([tensor]);
  }
}
