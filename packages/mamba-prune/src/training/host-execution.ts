/** A step of the CPU: each result is waited for, so that a bad one is found before the weights are touched. */
import { full, optim, type Tensor } from '@mamba-prune/libtorch';
import type { StepContext, StepNumbers } from './step-context.js';
import type { StepParts } from './step-parts.js';
import type { Execution } from './step.js';

/** Told of a quantity that is not finite; throws, unless the step is only tried. */
export type OnNotFinite = (quantity: string, value: number) => void;

export class HostExecution implements Execution {
  /** Of the step in progress, or the last one. */
  loss = NaN;
  #numbers: StepNumbers | undefined;

  readonly #parts: StepParts;
  readonly #onNotFinite: OnNotFinite;

  constructor(parts: StepParts, onNotFinite: OnNotFinite) {
    this.#parts = parts;
    this.#onNotFinite = onNotFinite;
  }

  get numbers(): StepNumbers {
    if (!this.#numbers) throw new TypeError('takeStep: expected prepare() before.');
    return this.#numbers;
  }

  readonly scalar: StepContext['scalar'] = (value) =>
    full([], value(this.numbers), { device: this.#parts.device });

  prepare(numbers: StepNumbers): void {
    this.#numbers = numbers;
  }

  begin(): void {
    // Nothing is captured here.
  }

  seeLoss(loss: Tensor): void {
    this.loss = loss.item();
    if (!Number.isFinite(this.loss)) this.#onNotFinite('loss', this.loss);
  }

  clip(maxNorm: number): number {
    const norm = optim.clipGradNorm(this.#parts.parameters, maxNorm);
    if (!Number.isFinite(norm)) this.#onNotFinite('gradient norm', norm);
    return norm;
  }

  update(): void {
    this.#parts.optimizer.step();
  }

  average(): void {
    this.#parts.ema?.update();
  }

  count(size: number): void {
    this.#parts.sums.count(size);
  }

  dispose(): void {
    // Nothing is kept between steps.
  }
}
