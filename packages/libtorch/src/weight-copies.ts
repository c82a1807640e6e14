// Mixed precision: parameters, their gradients and the optimizer's state stay float32, while layers
// that are given 16-bit activations multiply with 16-bit copies of their weights. The copies are made
// once per optimizer step, all in one call, rather than once per use.
import { noGrad } from './autograd.js';
import { callOperator, hasOperator } from './dispatch.js';
import type { DType } from './dtype.js';
import { empty } from './factories.js';
import type { Tensor } from './tensor.js';

/** The 16-bit types that activations may have. */
export type LowPrecision = Extract<DType, 'bfloat16' | 'float16'>;

export function isLowPrecision(dtype: DType): dtype is LowPrecision {
  return dtype === 'bfloat16' || dtype === 'float16';
}

const copies: Readonly<Record<LowPrecision, WeakMap<Tensor, Tensor>>> = {
  bfloat16: new WeakMap(),
  float16: new WeakMap(),
};

/** The copy of a parameter in a type, as of the last `refresh`; undefined if nobody keeps one. */
export function copyOf(parameter: Tensor, dtype: DType): Tensor | undefined {
  if (!isLowPrecision(dtype)) return undefined;
  const copy = copies[dtype].get(parameter);
  return copy?.disposed === false ? copy : undefined;
}

/** One launch after another would be a tenth of a pruned model's step on a GPU: there one operator of ours does them all. */
const [copyParts, foreachCopy] = ['mamba_prune::copy_parts', 'aten::_foreach_copy_'];
const hasCopyParts = (device: string | undefined): boolean =>
  device?.startsWith('cuda') === true && hasOperator(copyParts);

/** A part of a parameter, and where its copy goes: views of one shape. */
export interface CopyPart {
  readonly from: Tensor;
  readonly to: Tensor;
}

/**
 * Keeps copies of parameters in 16 bits, which layers find by themselves (`copyOf`). They are those of
 * the last `refresh()`: call it after everything that changes a parameter.
 *
 * The copies keep their addresses, so that a captured graph may read and refresh them.
 */
export class WeightCopies {
  readonly #masters: readonly Tensor[];
  readonly #copies: readonly Tensor[];
  /** Copies that these stand in front of. */
  readonly #before: readonly (Tensor | undefined)[];
  /** What one call copies. */
  readonly #atOnce: { readonly from: readonly Tensor[]; readonly to: readonly Tensor[] };
  readonly #oneByOne: readonly CopyPart[];
  /** The call, where there is one: libtorch 1.13 has none. */
  readonly #operator: string | undefined;
  readonly dtype: LowPrecision;

  /**
   * @param parameters - those of other types than float32 are left out
   * @param dtype - of the copies
   * @param parts - further copies of somebody else, kept up to date with these
   */
  constructor(parameters: readonly Tensor[], dtype: LowPrecision, parts: readonly CopyPart[] = []) {
    this.dtype = dtype;
    this.#masters = parameters.filter((parameter) => parameter.dtype === 'float32');
    this.#copies = this.#masters.map(({ shape, device }) => empty(shape, { dtype, device }).keep());
    this.#before = this.#masters.map((master) => copies[dtype].get(master));
    this.#masters.forEach((master, i) => {
      copies[dtype].set(master, this.#copies[i] as Tensor);
    });
    const own = this.#masters.map((from, i) => ({ from, to: this.#copies[i] as Tensor }));
    const all = [...own, ...parts];
    const isDense = ({ from, to }: CopyPart) => from.isContiguous && to.isContiguous;
    // Views with gaps would send the whole list down libtorch's slow way.
    const isOwn = hasCopyParts(this.#copies[0]?.device);
    const atOnce = isOwn ? all : all.filter(isDense);
    this.#atOnce = { from: atOnce.map(({ from }) => from), to: atOnce.map(({ to }) => to) };
    this.#oneByOne = isOwn ? [] : all.filter((part) => !isDense(part));
    const ofLibtorch = hasOperator(foreachCopy) ? foreachCopy : undefined;
    this.#operator = isOwn ? copyParts : ofLibtorch;
    this.refresh();
  }

  /** Copies the parameters' values as they are now. */
  refresh(): void {
    const { from: sources, to: targets } = this.#atOnce;
    const operator = this.#operator;
    noGrad(() => {
      for (const { from, to } of this.#oneByOne) to.copy_(from);
      if (operator && targets.length > 0) callOperator(operator, targets, sources);
      else targets.forEach((target, i) => target.copy_(sources[i] as Tensor));
    });
  }

  /** Frees the copies; layers use those that there were before, or convert their weights at every use. */
  dispose(): void {
    this.#masters.forEach((master, i) => {
      const copy = this.#copies[i] as Tensor;
      const before = this.#before[i];
      // Somebody may keep newer copies of the same parameters.
      if (copies[this.dtype].get(master) === copy) {
        if (before?.disposed === false) copies[this.dtype].set(master, before);
        else copies[this.dtype].delete(master);
      }
      copy.dispose();
    });
  }
}
