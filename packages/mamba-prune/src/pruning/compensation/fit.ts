// The regression of one reader: fitted to most images, judged by those held out.
import type { Tensor } from '@mamba-prune/libtorch';
import { divided } from './held-out.js';
import { type LinearMap, Moments } from './moments.js';
import type { Reader } from './readers.js';

/** Images of a batch. */
export interface Part {
  /** Number of the first one, counted over all batches. */
  readonly first: number;
  /** Each has equally many positions. */
  readonly count: number;
}

/** Sums over the images of one reader. */
export class Fit {
  readonly reader: Reader;
  readonly #fitted: Moments;
  readonly #heldOut: Moments;
  /** Sum of squares of what the reader gives in the dense model, on the images held out. */
  #given = 0;

  constructor(reader: Reader) {
    const { inputs, outputs, device } = reader;
    this.reader = reader;
    this.#fitted = new Moments(inputs, outputs, device);
    this.#heldOut = new Moments(inputs, outputs, device);
  }

  /**
   * @param dense - the reader's units in the dense model, shape [positions, features]
   * @param x - those that stayed, float64
   * @param target - what a correction has to add, float64
   */
  add({ first, count }: Part, dense: Tensor, x: Tensor, target: Tensor): void {
    const { fitted, heldOut } = divided(first, count);
    const of = (rows: Tensor, images: readonly number[]): Tensor =>
      rows.reshape(count, -1, rows.size(1)).indexSelect(0, images).reshape(-1, rows.size(1));
    if (fitted.length > 0) this.#fitted.add(of(x, fitted), of(target, fitted));
    if (heldOut.length === 0) return;
    this.#heldOut.add(of(x, heldOut), of(target, heldOut));
    this.#given += this.reader.given(of(dense, heldOut));
  }

  /** On the images held out. @param map - none by default */
  error(map?: LinearMap): number {
    return this.#heldOut.squares(map, this.reader.metric) / (this.#given || 1);
  }

  /** The correction with the ridge that is best on the images held out; undefined where there is none. The caller's. */
  best(
    ridges: readonly number[],
  ): { readonly ridge: number; readonly map: LinearMap; readonly error: number } | undefined {
    const { hasBias } = this.reader;
    let best: ReturnType<Fit['best']>;
    for (const ridge of ridges) {
      const map = this.#fitted.solve(ridge, hasBias);
      if (!map) continue;
      const error = this.error(map);
      // Not a number where the activations are none.
      const isBetter = best ? error < best.error : Number.isFinite(error);
      free(isBetter ? best?.map : map);
      if (isBetter) best = { ridge, map, error };
    }
    return best;
  }

  dispose(): void {
    this.#fitted.dispose();
    this.#heldOut.dispose();
  }
}

export function free(map: LinearMap | undefined): void {
  map?.weight.dispose();
  map?.bias.dispose();
}
