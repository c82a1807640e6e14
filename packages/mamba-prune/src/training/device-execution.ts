/**
 * A step of a GPU: nothing is waited for or read back, so that the work may be captured and replayed. What differs
 * between steps lies in tensors of the device: the learning rates, step counts, the decay of the averages and
 * the numbers that hooks ask for.
 */
import { noGrad, optim, type Tensor, zeros } from '@mamba-prune/libtorch';
import type { StepContext, StepNumbers } from './step-context.js';
import type { StepParts } from './step-parts.js';
import { StepScalars } from './step-scalars.js';
import type { Execution } from './step.js';

export interface StepState {
  /** Of the last step. */
  readonly loss: number;
  /** Steps with a loss, and with a gradient norm, that was not finite. */
  readonly badLosses: number;
  readonly badNorms: number;
}

export class DeviceExecution implements Execution {
  readonly scalar: StepContext['scalar'];
  readonly #scalars: StepScalars;
  /** What `StepState` has, in its order. */
  readonly #state: Tensor;
  /** 1 from the first step on that was not finite: fused optimizers leave the weights alone then. */
  readonly #skip: Tensor;
  #norm: Tensor | undefined;

  readonly #parts: StepParts;

  /** The optimizer and the averages of `parts` keep their numbers on the device from now on. */
  constructor(parts: StepParts) {
    this.#parts = parts;
    const { device, optimizer, ema } = parts;
    this.#state = zeros([3], { device }).keep();
    this.#skip = zeros([], { device }).keep();
    this.#scalars = new StepScalars(device);
    this.scalar = this.#scalars.scalar;
    optimizer.makeCapturable(this.#skip);
    ema?.makeCapturable();
  }

  get numbers(): StepNumbers {
    return this.#scalars.numbers;
  }

  prepare(numbers: StepNumbers): void {
    this.#parts.ema?.prepare();
    this.#scalars.write(numbers);
  }

  begin(recording: boolean): void {
    this.#norm = undefined;
    this.#scalars.begin(recording);
  }

  seeLoss(): void {
    // Read with the state, some steps later.
  }

  clip(maxNorm: number): Tensor | number {
    this.#norm = optim.clipGradNormOnDevice(this.#parts.parameters, maxNorm);
    return this.#norm ?? 0;
  }

  update(loss: Tensor): void {
    noGrad(() => {
      this.#note(loss, this.#norm);
    });
    this.#parts.optimizer.launch();
  }

  average(): void {
    this.#parts.ema?.launch();
  }

  count(size: number): void {
    this.#parts.optimizer.count();
    this.#parts.ema?.count();
    this.#parts.sums.count(size);
  }

  /** Waits for the device. */
  read(): StepState {
    const [loss = NaN, badLosses = 0, badNorms = 0] = this.#state.toNumbers();
    return { loss, badLosses, badNorms };
  }

  #note(loss: Tensor, norm: Tensor | undefined): void {
    const state = this.#state;
    state.select(0, 0).copy_(loss);
    state.select(0, 1).add_(loss.isFinite().logicalNot());
    if (norm) state.select(0, 2).add_(norm.isFinite().logicalNot());
    this.#skip.copy_(state.narrow(0, 1, 2).sum().gt(0));
  }

  dispose(): void {
    this.#scalars.dispose();
    this.#state.dispose();
    this.#skip.dispose();
  }
}
