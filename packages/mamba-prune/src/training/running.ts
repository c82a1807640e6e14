import { noGrad, scope, type Tensor, zeros } from '@mamba-prune/libtorch';

/** Means over the part of an epoch that is done. */
export interface RunningMeans {
  readonly loss: number;
  readonly accuracy: number;
  readonly terms: Readonly<Record<string, number>>;
  readonly images: number;
}

/** As stored in a checkpoint. */
export interface RunningState {
  sums: number[];
  images: number;
  seconds: number;
}

/**
 * Sums of an epoch's losses and right answers, kept on the device in float64, so that a step waits
 * for nothing. They are never reset within an epoch: when they are read does not change them.
 */
export class RunningSums {
  images = 0;
  /** Spent in training steps. */
  seconds = 0;
  /** Loss, right, then one per term; weighted by images. */
  readonly #sums: Tensor;

  readonly #terms: readonly string[];
  readonly #reduce: ((sums: readonly number[]) => readonly number[]) | undefined;

  constructor(
    terms: readonly string[],
    device: string,
    /** Sums over all workers; each keeps those of its share. */
    reduce?: (sums: readonly number[]) => readonly number[],
  ) {
    this.#terms = terms;
    this.#reduce = reduce;
    this.#sums = zeros([2 + terms.length], { dtype: 'float64', device }).keep();
  }

  /**
   * @param loss - mean over the batch, 0-d
   * @param right - number of right answers, 0-d
   * @param terms - means over the batch, in the order of their names
   */
  add(size: number, loss: Tensor, right: Tensor, terms: readonly (Tensor | number)[]): void {
    this.launch(size, loss, right, terms);
    this.count(size);
  }

  /** The part of `add` that the device does: what may be captured. */
  launch(size: number, loss: Tensor, right: Tensor, terms: readonly (Tensor | number)[]): void {
    scope(() => {
      noGrad(() => {
        this.#sums.select(0, 0).add_(loss, { alpha: size });
        this.#sums.select(0, 1).add_(right);
        terms.forEach((term, i) => {
          this.#sums.select(0, 2 + i).add_(term, { alpha: size });
        });
      });
    });
  }

  /** The rest of `add`, after each launch or replay. */
  count(size: number): void {
    this.images += size;
  }

  /** Waits for the device. All workers call it, if there are several. */
  means(): RunningMeans {
    return this.meansOf(this.state());
  }

  meansOf({ sums, images }: RunningState): RunningMeans {
    const [loss = NaN, right = NaN, ...terms] = sums;
    const mean = (sum: number) => (images === 0 ? 0 : sum / images);
    return {
      loss: mean(loss),
      accuracy: mean(right),
      terms: Object.fromEntries(this.#terms.map((name, i) => [name, mean(terms[i] ?? NaN)])),
      images,
    };
  }

  /** As for `means`. */
  state(): RunningState {
    const own = [this.images, ...this.#sums.toNumbers()];
    const [images = NaN, ...sums] = this.#reduce?.(own) ?? own;
    return { sums, images, seconds: this.seconds };
  }

  /** @throws RangeError if the state has other terms */
  restore({ sums, images, seconds }: RunningState): void {
    if (sums.length !== this.#sums.numel) {
      throw new RangeError(
        `resume: the checkpoint has ${sums.length - 2} loss terms, expected ${this.#terms.length}. ` +
          'Resume with the options and hooks that the run began with.',
      );
    }
    this.#sums.setValues(Float64Array.from(sums));
    this.images = images;
    this.seconds = seconds;
  }

  reset(): void {
    this.#sums.zero_();
    this.images = 0;
    this.seconds = 0;
  }

  dispose(): void {
    this.#sums.dispose();
  }
}

/** Images per second over the last second or so. */
export class RateMeter {
  #images = 0;
  #since = performance.now();
  #rate = 0;

  /** @param images - done since the last call */
  add(images: number): number {
    this.#images += images;
    const seconds = (performance.now() - this.#since) / 1000;
    // Until a second has passed, the rate so far; then one value a second, which does not flicker.
    if (this.#rate === 0 || seconds >= 1) {
      const rate = this.#images / Math.max(seconds, 1e-9);
      if (seconds < 1) return rate;
      this.#rate = rate;
      this.restart();
    }
    return this.#rate;
  }

  /** Leaves out the time since the last call: an evaluation, say. */
  restart(): void {
    this.#images = 0;
    this.#since = performance.now();
  }
}
