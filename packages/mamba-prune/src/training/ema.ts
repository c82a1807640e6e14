import {
  callOperator,
  full,
  hasOperator,
  noGrad,
  ops,
  optim,
  scope,
  type Tensor,
} from '@mamba-prune/libtorch';
import { checksOf } from '../checks.js';
import type { Trainable } from './trainable.js';

/**
 * Exponential moving average of a model's parameters (Polyak averaging): a = d a + (1 - d) p after
 * every step. The decay d grows to the one asked for as (1 + n) / (10 + n) over the first n updates,
 * as TensorFlow's ExponentialMovingAverage has it, so that short trainings do not average in the
 * random start. Buffers (running statistics) are the model's own: they are averages already.
 */
export class Ema {
  /** By parameter name; owned by this object. */
  readonly averages: ReadonlyMap<string, Tensor>;
  #updates = 0;
  readonly #parameters: readonly Tensor[];
  readonly #list: readonly Tensor[];
  readonly #kernel: boolean;
  /** Of the next update, on the device. */
  #nextDecay: Tensor | undefined;
  #written = NaN;

  readonly decay: number;

  /**
   * @param decay - from 0 up to, not including, 1
   * @throws UsageError for another one
   */
  constructor(model: Trainable, decay: number) {
    this.decay = decay;
    const words = { expected: 'a number of at least 0 and below 1, such as 0.999' };
    checksOf('Ema').number('decay', decay, { min: 0, below: 1 }, words);
    const named = model.namedParameters();
    this.averages = noGrad(
      () => new Map([...named].map(([name, tensor]) => [name, tensor.clone().keep()])),
    );
    this.#parameters = [...named.values()];
    this.#list = [...this.averages.values()];
    this.#kernel =
      hasOperator('mamba_prune::ema_') &&
      this.#parameters.every(
        ({ device, dtype }) => device === 'cpu' && (dtype === 'float32' || dtype === 'float64'),
      );
  }

  /** How often it was updated; part of its state. */
  get updates(): number {
    return this.#updates;
  }

  /** After the averages were overwritten by those of a checkpoint. */
  restore(updates: number): void {
    this.#updates = updates;
  }

  #decayOf(update: number): number {
    return Math.min(this.decay, (1 + update) / (10 + update));
  }

  /**
   * From now on the decay is kept on the device, so that `launch` may be captured and replayed: an
   * update is `prepare()`, `launch()` or its replay, `count()`.
   */
  makeCapturable(): void {
    const device = this.#list[0]?.device ?? 'cpu';
    this.#nextDecay ??= full([], this.decay, { device }).keep();
  }

  /** Writes the decay of the next update. */
  prepare(): void {
    const decay = this.#decayOf(this.#updates + 1);
    if (!this.#nextDecay || decay === this.#written) return;
    ops.fill_(this.#nextDecay, decay);
    this.#written = decay;
  }

  /** The update's work on the device. */
  launch(): void {
    const decay = this.#nextDecay;
    if (!decay) throw new TypeError('Ema.launch: expected makeCapturable() before.');
    scope(() => {
      noGrad(() => {
        optim.averageAll_(this.#list, this.#parameters, decay);
      });
    });
  }

  /** Counts the update that was launched last. */
  count(): void {
    this.#updates++;
  }

  update(): void {
    const decay = this.#decayOf(++this.#updates);
    noGrad(() => {
      if (this.#kernel) {
        callOperator('mamba_prune::ema_', this.#list, this.#parameters, decay);
        return;
      }
      // a d + (1 - d) p, as the kernel has it; _foreach_lerp_ is not in libtorch 1.13.
      ops.foreachMulScalar_(this.#list, decay);
      ops.foreachAdd_(this.#list, this.#parameters, 1 - decay);
    });
  }

  /**
   * Exchanges the model's parameters with the averages; a second call exchanges them back, bit for
   * bit. Values are copied, one tensor at a time, rather than storages: addresses stay what they are,
   * which captured graphs rely on.
   */
  swap(): void {
    noGrad(() => {
      this.#parameters.forEach((parameter, i) => {
        const average = this.#list[i] as Tensor;
        const held = parameter.clone();
        parameter.copy_(average);
        average.copy_(held);
        held.dispose();
      });
    });
  }

  /**
   * Runs `body` while the model has the averaged weights.
   * @param changed - called after the weights changed, there and back: copies of them are refreshed here
   */
  async during<T>(body: () => Promise<T> | T, changed?: () => void): Promise<T> {
    this.swap();
    try {
      changed?.();
      return await body();
    } finally {
      this.swap();
      changed?.();
    }
  }

  dispose(): void {
    for (const tensor of this.#list) tensor.dispose();
    this.#nextDecay?.dispose();
  }
}
