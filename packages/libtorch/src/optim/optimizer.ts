// What all optimizers have in common: state, and the update of many tensors at once.
import { noGrad } from '../autograd.js';
import { ShapeError, StateDictError } from '../errors.js';
import { scope } from '../scope.js';
import { full, zerosLike } from '../factories.js';
import * as ops from '../generated/ops.js';
import type { Tensor } from '../tensor.js';
import { type Batch, ParamBatches, type ParamState } from './param-batches.js';
import { type ParamGroup, type ParamGroupOptions, paramGroupsOf } from './param-groups.js';

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

/** A group with what is kept of its parameters. */
interface GroupState {
  readonly group: ParamGroup;
  readonly states: readonly ParamState[];
  /** The learning rate on the device, if steps are to be captured. */
  rate?: Tensor;
}

/** Updates parameters from their gradients. State is made at a parameter's first gradient. */
export abstract class Optimizer {
  readonly groups: readonly ParamGroup[];
  readonly #groupStates: readonly GroupState[];
  #isCapturable = false;
  #skip: Tensor | undefined;
  protected readonly slotNames: readonly string[];

  /** @param slotNames - PyTorch's names of the tensors kept for every parameter */
  protected constructor(
    params: readonly Tensor[] | readonly ParamGroupOptions[],
    defaults: { readonly lr: number; readonly weightDecay: number },
    slotNames: readonly string[],
  ) {
    this.slotNames = slotNames;
    this.groups = paramGroupsOf(this.constructor.name, params, defaults);
    this.#groupStates = this.groups.map((group) => ({
      group,
      states: group.params.map((param) => ({ param, steps: 0, slots: [] })),
    }));
  }

  /** Of every parameter in order. */
  #states(): ParamState[] {
    return this.#groupStates.flatMap(({ states }) => states);
  }

  /**
   * From now on learning rates and step counts are kept on the parameters' device, so that `launch`
   * may be captured and replayed. All parameters must be on one device; the state stays as it is.
   *
   * @param skip - 0-d float32: a step is left out where it is 1, by operators that can (those for lists, fused AdamW);
   *   stays the caller's
   */
  makeCapturable(skip?: Tensor): void {
    this.#skip = skip;
    if (this.#isCapturable) return;
    this.#isCapturable = true;
    for (const own of this.#groupStates) {
      const { params, lr } = own.group;
      own.rate = full([], lr, { device: params[0]?.device ?? 'cpu' }).keep();
      for (const state of own.states) {
        state.count = full([], state.steps, { device: state.param.device }).keep();
      }
    }
  }

  /** Names of the tensors kept for every parameter of a group. */
  protected readonly slotsOf: (group: ParamGroup) => readonly string[] = () => this.slotNames;

  /** Updates a batch in place; called inside noGrad and a scope. */
  protected abstract update(batch: Batch, group: ParamGroup): void;

  /** One update of every parameter that has a gradient; the others keep their value and state. */
  step(): void {
    if (this.#isCapturable) {
      this.launch();
      this.count();
      return;
    }
    this.#updateAll((own) => this.#batches(own));
  }

  /**
   * The part of `step` that happens on the device, and nothing else: what is to be captured. Each
   * launch, and each replay of one, is followed by `count()`.
   * @throws TypeError without `makeCapturable`
   */
  launch(): void {
    if (!this.#isCapturable) {
      throw new TypeError(
        `${this.constructor.name}.launch: expected makeCapturable() before. Call step() otherwise.`,
      );
    }
    this.#updateAll((own) => this.#launchBatches(own));
  }

  #updateAll(batchesOf: (own: GroupState) => Batch[]): void {
    noGrad(() => {
      scope(() => {
        for (const own of this.#groupStates) {
          for (const batch of batchesOf(own)) this.update(batch, own.group);
        }
      });
    });
  }

  /** Counts the step that was launched last. */
  count(): void {
    for (const state of this.#states()) if (state.launched) state.steps += 1;
  }

  #launchBatches({ group, states, rate }: GroupState): Batch[] {
    const batches = new ParamBatches(this.slotsOf(group));
    for (const state of states) {
      const { grad, device, dtype } = state.param;
      state.launched = grad !== null;
      if (!grad) continue;
      // Both are there since `makeCapturable`.
      const [lr, count] = [rate, state.count] as [Tensor, Tensor];
      const scalars = { lr, counts: [], skip: this.#skip };
      const settings = { step: NaN, device, kernel: false, scalars };
      batches.add(`${device} ${dtype}`, state, grad, settings).scalars?.counts.push(count);
    }
    const found = batches.all();
    for (const { scalars } of found) if (scalars) ops.foreachAddScalar_(scalars.counts, 1);
    return found;
  }

  #batches({ group, states }: GroupState): Batch[] {
    const batches = new ParamBatches(this.slotsOf(group));
    for (const state of states) {
      const { param } = state;
      const { grad, device, dtype } = param;
      if (!grad) continue;
      const kernel =
        device === 'cpu' && (dtype === 'float32' || dtype === 'float64') && param.isContiguous;
      state.steps += 1;
      const { steps: step } = state;
      const taken = !kernel || grad.isContiguous ? grad : grad.contiguous();
      batches.add(`${step} ${device} ${dtype} ${kernel}`, state, taken, { step, device, kernel });
    }
    return batches.all();
  }

  /** Forgets all gradients, so that parameters without a new one are left alone. */
  zeroGrad(): void {
    for (const { param } of this.#states()) param.grad = null;
  }

  /** Sets every group's learning rate to `factor` times its base: what a schedule gives. */
  setLrFactor(factor: number): void {
    for (const group of this.groups) group.lr = group.baseLr * factor;
    this.#writeRates();
  }

  /** In place: a captured step reads the rates where they are. */
  #writeRates(): void {
    for (const { group, rate } of this.#groupStates) if (rate) ops.fill_(rate, group.lr);
  }

  /** Every parameter in order, with the names of its slots. */
  #named(): { readonly state: ParamState; readonly names: readonly string[] }[] {
    return this.#groupStates.flatMap(({ group, states }) => {
      const names = this.slotsOf(group);
      return states.map((state) => ({ state, names }));
    });
  }

  /** Everything needed to go on exactly here; see `loadStateDict`. */
  stateDict(): OptimizerState {
    const tensors = new Map<string, Tensor>();
    this.#named().forEach(({ state, names }, i) => {
      state.slots.forEach((slot, k) => tensors.set(`${i}.${names[k]}`, slot));
    });
    const groups = this.groups.map(({ params, baseLr, lr, weightDecay }) => {
      return { size: params.length, baseLr, lr, weightDecay };
    });
    const steps = this.#states().map((state) => state.steps);
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
    // All are found before anything is changed.
    const found = this.#named().map(({ state, names }, i) => {
      const steps = scalars.steps[i] ?? 0;
      const slots = steps === 0 ? [] : names.map((slot) => source(`${i}.${slot}`, state.param));
      return { state, steps, slots };
    });
    noGrad(() => {
      for (const { state, steps, slots } of found) {
        const had = state.slots;
        state.slots = slots.map((from, k) => (had[k] ?? zerosLike(state.param).keep()).copy_(from));
        for (const slot of had.slice(slots.length)) slot.dispose();
        state.steps = steps;
        if (state.count) ops.fill_(state.count, steps);
      }
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
    for (const state of this.#states()) {
      for (const slot of state.slots) slot.dispose();
      state.slots = [];
      state.steps = 0;
      state.count?.dispose();
    }
    for (const own of this.#groupStates) {
      own.rate?.dispose();
      delete own.rate;
    }
    this.#isCapturable = false;
  }

  /** For `using`: `dispose`. */
  [Symbol.dispose](): void {
    this.dispose();
  }
}
