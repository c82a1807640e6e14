// Which matrices the operators of a GPU read for each layer of a model: the parameters in float32, in 16 bits copies that
// somebody keeps, or copies for one call. running.ts says what kinds of copies there are.
import type { DType, Tensor } from '@mamba-prune/libtorch';
import type { PackedWeights } from '../image-model.js';

/** The matrices of one layer, by the branch that reads them. */
type Matrices = Readonly<Record<string, readonly Tensor[]>>;

/** Copies of one layer's matrices; they hold nothing before the first refresh. */
type Packed<M> = M & PackedWeights & { refresh(): void };

/** Copies which somebody keeps up to date until they are disposed of. */
export interface KeptCopies<M> extends PackedWeights {
  readonly dtype: DType;
  /** One for each layer. */
  readonly layers: readonly M[];
}

export interface MatrixForms<L, M> {
  /** The parameters themselves. */
  parameters(layer: L): M;
  /** Copies of them. */
  pack(layer: L, dtype: DType): Packed<M>;
}

/** @typeParam L - a layer of the model @typeParam M - its matrices */
export class MatrixCopies<L, M extends Matrices> {
  readonly #layers: readonly L[];
  readonly #forms: MatrixForms<L, M>;
  /** Those in use last. */
  #kept: readonly KeptCopies<M>[] = [];

  constructor(layers: readonly L[], forms: MatrixForms<L, M>) {
    this.#layers = layers;
    this.#forms = forms;
  }

  /**
   * Copies for all layers, which `of` gives until they are disposed of.
   * @param packed - theirs; by default new ones
   */
  keep(
    dtype: DType,
    packed: readonly Packed<M>[] = this.#layers.map((layer) => this.#forms.pack(layer, dtype)),
  ): KeptCopies<M> {
    const kept: KeptCopies<M> = {
      dtype,
      layers: packed,
      parts: packed.flatMap(({ parts }) => parts),
      masters: packed.flatMap(({ masters }) => masters),
      dispose: () => {
        // Those that were there before are used again.
        this.#kept = this.#kept.filter((other) => other !== kept);
        for (const layer of packed) layer.dispose();
      },
    };
    this.#kept = [...this.#kept, kept];
    return kept;
  }

  /** Those of a type that were made last, of all that are kept. */
  newest(dtype: DType): KeptCopies<M> | undefined {
    return this.#kept.findLast((copies) => copies.dtype === dtype);
  }

  /** What a layer reads in a type; without kept copies those for one call, which the caller's scope frees. */
  of(index: number, dtype: DType): M {
    const layer = this.#layers[index] as L;
    if (dtype === 'float32') return this.#forms.parameters(layer);
    const kept = this.newest(dtype);
    if (kept) return kept.layers[index] as M;
    const made = this.#forms.pack(layer, dtype);
    made.refresh();
    const borrowed = Object.keys(this.#forms.parameters(layer)).map((branch) => [
      branch,
      made[branch]?.map((tensor) => tensor.detach()),
    ]);
    made.dispose();
    return Object.fromEntries(borrowed) as M;
  }
}
