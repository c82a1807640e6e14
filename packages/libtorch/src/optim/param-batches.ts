// Parameters that take the same update in one call, and what an optimizer keeps of each of them.
import { noGrad } from '../autograd.js';
import { zerosLike } from '../factories.js';
import type { Tensor } from '../tensor.js';

/** Parameters that take the same update in one call: equal step, device and type. */
export interface Batch {
  readonly params: Tensor[];
  readonly grads: Tensor[];
  /** For every slot, one tensor per parameter. */
  readonly slots: Tensor[][];
  /** 1 at the first update. */
  readonly step: number;
  readonly device: string;
  /** Whether our CPU kernels take these tensors. */
  readonly kernel: boolean;
  /** In place of `step` and the group's `lr`, if the optimizer keeps them on the device. */
  readonly scalars?: DeviceScalars | undefined;
}

/** What changes from step to step, float32 and 0-d. */
export interface DeviceScalars {
  readonly lr: Tensor;
  /** Of every parameter: 1 at its first update. */
  readonly counts: Tensor[];
  /** Where this is 1 nothing may be updated; operators that cannot see to it update all the same. */
  readonly skip: Tensor | undefined;
}

/** What an optimizer keeps of a parameter. */
export interface ParamState {
  readonly param: Tensor;
  steps: number;
  /** Empty before the first gradient. */
  slots: Tensor[];
  /** `steps` on the device, if steps are to be captured. */
  count?: Tensor;
  /** Had a gradient at the last launch. */
  launched?: boolean;
}

type BatchSettings = Pick<Batch, 'step' | 'device' | 'kernel' | 'scalars'>;

/** Divides the parameters of a group, in their order, into batches. */
export class ParamBatches {
  readonly #slotNames: readonly string[];
  readonly #batches = new Map<string, Batch>();

  constructor(slotNames: readonly string[]) {
    this.#slotNames = slotNames;
  }

  /**
   * Makes the slots of a parameter that has none yet.
   * @param key - the same for parameters of one batch
   * @param settings - of a batch that begins with this parameter
   * @returns its batch
   */
  add(key: string, state: ParamState, grad: Tensor, settings: BatchSettings): Batch {
    const { param } = state;
    if (state.slots.length === 0) state.slots = newSlots(this.#slotNames, param);
    let batch = this.#batches.get(key);
    if (!batch) {
      batch = { params: [], grads: [], slots: this.#slotNames.map(() => []), ...settings };
      this.#batches.set(key, batch);
    }
    batch.params.push(param);
    batch.grads.push(grad);
    state.slots.forEach((slot, k) => batch.slots[k]?.push(slot));
    return batch;
  }

  all(): Batch[] {
    return [...this.#batches.values()];
  }
}

function newSlots(names: readonly string[], param: Tensor): Tensor[] {
  return names.map(() => noGrad(() => zerosLike(param)).keep());
}
