// What all optimizers have in common: groups, state, and the update of many tensors at once.
import { noGrad } from '../autograd.js';
import { type OptionKinds, checkOptions } from '../check-options.js';
import { ShapeError, StateDictError } from '../errors.js';
import { scope } from '../scope.js';
import { full, zerosLike } from '../factories.js';
import * as ops from '../generated/ops.js';
import type { Tensor } from '../tensor.js';

/** Parameters that share settings; what is not given is taken from the optimizer's options. */
export interface ParamGroupOptions {
  readonly params: readonly Tensor[];
  readonly lr?: number;
  readonly weightDecay?: number;
  /** Matrices whose steps `Muon` orthogonalises; other optimizers make no difference. */
  readonly orthogonalize?: boolean;
}

const groupKinds: OptionKinds<ParamGroupOptions> = {
  params: 'array',
  lr: 'number',
  weightDecay: 'number',
  orthogonalize: 'boolean',
};

export interface ParamGroup {
  readonly params: readonly Tensor[];
  readonly orthogonalize: boolean;
  /** Learning rate before any schedule. */
  baseLr: number;
  /** Learning rate of the next step. */
  lr: number;
  weightDecay: number;
}

/** What a checkpoint stores of an optimizer beside tensors; plain JSON. */
export interface OptimizerScalars {
  readonly kind: string;
  /** Updates done, for every parameter in order. */
  readonly steps: readonly number[];
  readonly groups: readonly {
    readonly size: number;
    readonly baseLr: number;
    readonly lr: number;
    readonly weightDecay: number;
  }[];
}

export interface OptimizerState {
  /** `<number of the parameter>.<slot>`, such as `12.exp_avg`: the optimizer's own tensors, not copies. */
  readonly tensors: Map<string, Tensor>;
  readonly scalars: OptimizerScalars;
}

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

interface ParamState {
  steps: number;
  slots: Tensor[];
  /** `steps` on the device. */
  count?: Tensor;
  /** Had a gradient at the last launch. */
  launched?: boolean;
}

/** Updates parameters from their gradients. State is made at a parameter's first gradient. */
export abstract class Optimizer {
  readonly groups: readonly ParamGroup[];
  readonly #states: ParamState[];
  /** Learning rate of each group on the device, if steps are to be captured. */
  #rates: Tensor[] | undefined;
  #skip: Tensor | undefined;
  protected readonly slotNames: readonly string[];

  /** @param slotNames - PyTorch's names of the tensors kept for every parameter */
  protected constructor(
    params: readonly Tensor[] | readonly ParamGroupOptions[],
    defaults: { readonly lr: number; readonly weightDecay: number },
    slotNames: readonly string[],
  ) {
    this.slotNames = slotNames;
    const name = this.constructor.name;
    const list: unknown = params;
    if (!Array.isArray(list)) {
      throw new TypeError(
        `${name}: got no list of parameters, expected one, or a list of groups: a module's parameters(), say.`,
      );
    }
    const given = isGroups(params) ? params : [{ params }];
    this.groups = given.map((group, i) => {
      checkOptions(`${name}: group ${i}`, group, groupKinds);
      const { lr = defaults.lr, weightDecay = defaults.weightDecay } = group;
      checkSetting(name, 'lr', lr, lr >= 0, 'at least 0');
      checkSetting(name, 'weightDecay', weightDecay, weightDecay >= 0, 'at least 0');
      const { orthogonalize = false } = group;
      return { params: [...group.params], orthogonalize, baseLr: lr, lr, weightDecay };
    });
    const all = this.#params();
    if (new Set(all).size !== all.length) {
      throw new TypeError(`${name}: got a parameter twice, expected each in one group.`);
    }
    for (const tensor of all) {
      if (!tensor.isLeaf || !tensor.requiresGrad) {
        throw new TypeError(
          `${name}: got ${tensor.toString()} that ${tensor.isLeaf ? 'does not require grad' : 'was computed from others'}, ` +
            "expected parameters: a module's parameters().",
        );
      }
    }
    this.#states = all.map(() => ({ steps: 0, slots: [] }));
  }

  #params(): Tensor[] {
    return this.groups.flatMap((group) => group.params);
  }

  /**
   * From now on learning rates and step counts are kept on the parameters' device, so that `launch`
   * may be captured and replayed. All parameters must be on one device; the state stays as it is.
   *
   * @param skip - 0-d float32: a step is left out where it is 1, by operators that can (fused AdamW);
   *   stays the caller's
   */
  makeCapturable(skip?: Tensor): void {
    this.#skip = skip;
    if (this.#rates) return;
    this.#rates = this.groups.map(({ params, lr }) =>
      full([], lr, { device: params[0]?.device ?? 'cpu' }).keep(),
    );
    this.#params().forEach((param, i) => {
      const state = this.#states[i] as ParamState;
      state.count = full([], state.steps, { device: param.device }).keep();
    });
  }

  /** Names of the tensors kept for every parameter of a group. */
  protected readonly slotsOf: (group: ParamGroup) => readonly string[] = () => this.slotNames;

  /** For every parameter in order, its group's names. */
  #slotNames(): (readonly string[])[] {
    return this.groups.flatMap((group) => group.params.map(() => this.slotsOf(group)));
  }

  /** Updates a batch in place; called inside noGrad and a scope. */
  protected abstract update(batch: Batch, group: ParamGroup): void;

  /** One update of every parameter that has a gradient; the others keep their value and state. */
  step(): void {
    if (this.#rates) {
      this.launch();
      this.count();
      return;
    }
    noGrad(() => {
      scope(() => {
        let first = 0;
        for (const group of this.groups) {
          const states = this.#states.slice(first, first + group.params.length);
          first += group.params.length;
          for (const batch of this.#batches(group, states)) this.update(batch, group);
        }
      });
    });
  }

  /**
   * The part of `step` that happens on the device, and nothing else: what is to be captured. Each
   * launch, and each replay of one, is followed by `count()`.
   * @throws TypeError without `makeCapturable`
   */
  launch(): void {
    const rates = this.#rates;
    if (!rates) {
      throw new TypeError(
        `${this.constructor.name}.launch: expected makeCapturable() before. Call step() otherwise.`,
      );
    }
    noGrad(() => {
      scope(() => {
        let first = 0;
        this.groups.forEach((group, g) => {
          const states = this.#states.slice(first, first + group.params.length);
          first += group.params.length;
          const lr = rates[g] as Tensor;
          for (const batch of this.#launchBatches(group, states, lr)) this.update(batch, group);
        });
      });
    });
  }

  /** Counts the step that was launched last. */
  count(): void {
    for (const state of this.#states) if (state.launched) state.steps += 1;
  }

  #launchBatches(group: ParamGroup, states: readonly ParamState[], lr: Tensor): Batch[] {
    const names = this.slotsOf(group);
    const batches = new Map<string, Batch & { scalars: DeviceScalars }>();
    group.params.forEach((param, i) => {
      const state = states[i] as ParamState;
      const { grad, device, dtype } = param;
      state.launched = grad !== null;
      if (!grad) return;
      if (state.slots.length === 0) state.slots = newSlots(names, param);
      const key = `${device} ${dtype}`;
      let batch = batches.get(key);
      if (!batch) {
        const slots = names.map(() => []);
        const scalars = { lr, counts: [], skip: this.#skip };
        batch = { params: [], grads: [], slots, step: NaN, device, kernel: false, scalars };
        batches.set(key, batch);
      }
      batch.params.push(param);
      batch.grads.push(grad);
      batch.scalars.counts.push(state.count as Tensor);
      state.slots.forEach((slot, k) => batch.slots[k]?.push(slot));
    });
    const found = [...batches.values()];
    for (const { scalars } of found) ops.foreachAddScalar_(scalars.counts, 1);
    return found;
  }

  #batches(group: ParamGroup, states: readonly ParamState[]): Batch[] {
    const names = this.slotsOf(group);
    const batches = new Map<string, Batch>();
    group.params.forEach((param, i) => {
      const grad = param.grad;
      if (!grad) return;
      const state = states[i] as ParamState;
      const { device, dtype } = param;
      const kernel =
        device === 'cpu' && (dtype === 'float32' || dtype === 'float64') && param.isContiguous;
      if (state.slots.length === 0) state.slots = newSlots(names, param);
      state.steps += 1;
      const key = `${state.steps} ${device} ${dtype} ${kernel}`;
      let batch = batches.get(key);
      if (!batch) {
        const slots = names.map(() => []);
        batch = { params: [], grads: [], slots, step: state.steps, device, kernel };
        batches.set(key, batch);
      }
      batch.params.push(param);
      batch.grads.push(!kernel || grad.isContiguous ? grad : grad.contiguous());
      state.slots.forEach((slot, k) => batch.slots[k]?.push(slot));
    });
    return [...batches.values()];
  }

  /** Forgets all gradients, so that parameters without a new one are left alone. */
  zeroGrad(): void {
    for (const tensor of this.#params()) tensor.grad = null;
  }

  /** Sets every group's learning rate to `factor` times its base: what a schedule gives. */
  setLrFactor(factor: number): void {
    for (const group of this.groups) group.lr = group.baseLr * factor;
    this.#writeRates();
  }

  /** In place: a captured step reads the rates where they are. */
  #writeRates(): void {
    this.groups.forEach(({ lr }, i) => {
      const rate = this.#rates?.[i];
      if (rate) ops.fill_(rate, lr);
    });
  }

  /** Everything needed to go on exactly here; see `loadStateDict`. */
  stateDict(): OptimizerState {
    const tensors = new Map<string, Tensor>();
    const names = this.#slotNames();
    this.#states.forEach(({ slots }, i) => {
      slots.forEach((slot, k) => tensors.set(`${i}.${names[i]?.[k]}`, slot));
    });
    const groups = this.groups.map(({ params, baseLr, lr, weightDecay }) => {
      return { size: params.length, baseLr, lr, weightDecay };
    });
    const steps = this.#states.map((state) => state.steps);
    return { tensors, scalars: { kind: this.constructor.name, steps, groups } };
  }

  /**
   * Copies a state in: moments, step counts and learning rates. Momentum and the like stay as
   * constructed. Either everything is taken over or, after an error, nothing.
   *
   * @throws StateDictError if the state is of another optimizer or other groups, or lacks a tensor
   * @throws ShapeError naming the tensor and both shapes
   */
  loadStateDict({ tensors, scalars }: OptimizerState): void {
    const where = `${this.constructor.name}.loadStateDict`;
    const own = this.stateDict().scalars;
    const sizes = (s: OptimizerScalars): string =>
      `${s.kind} with groups of ${s.groups.map((g) => g.size).join(', ')} parameters`;
    if (sizes(own) !== sizes(scalars) || scalars.steps.length !== own.steps.length) {
      throw new StateDictError(
        `${where}: got a state of ${sizes(scalars)}, expected ${sizes(own)}. ` +
          'Build model and optimizer as they were when it was saved.',
        [],
        [],
      );
    }
    const params = this.#params();
    const names = this.#slotNames();
    const sources = params.map((param, i) =>
      scalars.steps[i] === 0 ? [] : (names[i] ?? []).map((slot) => source(`${i}.${slot}`, param)),
    );
    noGrad(() => {
      sources.forEach((given, i) => {
        const state = this.#states[i] as ParamState;
        const param = params[i] as Tensor;
        const had = state.slots;
        state.slots = given.map((from, k) => (had[k] ?? zerosLike(param).keep()).copy_(from));
        for (const slot of had.slice(given.length)) slot.dispose();
        state.steps = scalars.steps[i] as number;
        if (state.count) ops.fill_(state.count, state.steps);
      });
    });
    this.groups.forEach((group, i) => {
      const { baseLr, lr, weightDecay } = scalars.groups[i] as OptimizerScalars['groups'][number];
      Object.assign(group, { baseLr, lr, weightDecay });
    });
    this.#writeRates();

    function source(name: string, param: Tensor): Tensor {
      const tensor = tensors.get(name);
      if (!tensor) {
        throw new StateDictError(`${where}: "${name}" is missing.`, [name], []);
      }
      if (tensor.shape.join() !== param.shape.join()) {
        throw new ShapeError(
          `${where}: "${name}" has shape [${tensor.shape.join(', ')}], ` +
            `expected [${param.shape.join(', ')}].`,
        );
      }
      return tensor;
    }
  }

  /** Frees the optimizer's own tensors; the parameters stay. */
  dispose(): void {
    for (const state of this.#states) {
      for (const slot of state.slots) slot.dispose();
      state.slots = [];
      state.steps = 0;
      state.count?.dispose();
    }
    for (const rate of this.#rates ?? []) rate.dispose();
    this.#rates = undefined;
  }
}

function newSlots(names: readonly string[], param: Tensor): Tensor[] {
  return names.map(() => noGrad(() => zerosLike(param)).keep());
}

function isGroups(
  params: readonly Tensor[] | readonly ParamGroupOptions[],
): params is readonly ParamGroupOptions[] {
  return params.length > 0 && 'params' in (params[0] as object);
}

/** @throws RangeError `AdamW: got lr -1, expected at least 0.` */
export function checkSetting(
  where: string,
  name: string,
  value: number,
  valid: boolean,
  expected: string,
): void {
  if (valid && Number.isFinite(value)) return;
  throw new RangeError(`${where}: got ${name} ${value}, expected ${expected}.`);
}
