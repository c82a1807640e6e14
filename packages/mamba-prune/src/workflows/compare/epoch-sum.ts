// How far a comparison is: the epochs of all its runs together.
import type { CompareRun } from './settings.js';

export class EpochSum {
  readonly #epochs: Map<string, number>;
  readonly #total: number;

  readonly #listener: ((done: number, total: number) => void) | undefined;

  constructor(
    runs: readonly CompareRun[],
    done: readonly CompareRun[],
    listener: ((done: number, total: number) => void) | undefined,
  ) {
    this.#listener = listener;
    this.#epochs = new Map(done.map(({ name, epochs }) => [name, epochs]));
    this.#total = runs.reduce((sum, { epochs }) => sum + epochs, 0);
  }

  set(name: string, epochs: number): void {
    this.#epochs.set(name, epochs);
    const done = [...this.#epochs.values()].reduce((sum, value) => sum + value, 0);
    this.#listener?.(done, this.#total);
  }
}
