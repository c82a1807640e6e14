/** The numbers of a step that hooks ask for, where captured steps read them. */
import { full, ops, type Tensor } from '@mamba-prune/libtorch';
import type { StepNumbers } from './step-context.js';

type Value = (numbers: StepNumbers) => number;

/**
 * Hooks ask in the same order in every step, so a number is known by its place in that order. The first
 * steps, which are not captured, make the tensors.
 */
export class StepScalars {
  readonly #known: { readonly value: Value; readonly tensor: Tensor }[] = [];
  #next = 0;
  #numbers: StepNumbers | undefined;
  #recording = false;

  readonly #device: string;

  constructor(device: string) {
    this.#device = device;
  }

  /** Writes the numbers of a step. To be called before its work is given to the device, recorded or replayed. */
  write(numbers: StepNumbers): void {
    this.#numbers = numbers;
    for (const { value, tensor } of this.#known) ops.fill_(tensor, value(numbers));
  }

  /** Those written last. */
  get numbers(): StepNumbers {
    if (!this.#numbers) throw new TypeError('takeStep: expected prepare() before.');
    return this.#numbers;
  }

  /** Before the work of a step goes to the device; `recording` if it is not done yet, but captured. */
  begin(recording: boolean): void {
    this.#next = 0;
    this.#recording = recording;
  }

  /** For `StepContext`. */
  readonly scalar = (value: Value): Tensor => {
    // Not written here: what was recorded would write the same number in every replay.
    const known = this.#known[this.#next++];
    if (known) return known.tensor;
    if (this.#recording) {
      throw new Error('a hook asks for a number that it did not ask for in the steps before');
    }
    const number = value(this.numbers);
    const tensor = full([], number, { device: this.#device }).keep();
    this.#known.push({ value, tensor });
    return tensor;
  };

  dispose(): void {
    for (const { tensor } of this.#known) tensor.dispose();
  }
}
