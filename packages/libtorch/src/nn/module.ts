// The base class of layers and models: parameters, buffers and children by name.
import { noGrad } from '../autograd.js';
import { checkOptions } from '../check-options.js';
import type { DType } from '../dtype.js';
import { ShapeError, StateDictError } from '../errors.js';
import { scope } from '../scope.js';
import type { Tensor } from '../tensor.js';

/** What `loadStateDict` did not find, and what it was given beyond need. */
export interface LoadResult {
  readonly missing: string[];
  readonly unexpected: string[];
}

/**
 * A part of a model: parameters, buffers and further modules, each under the name it has in PyTorch,
 * so that checkpoints cross over both ways.
 *
 * A subclass registers what it owns in its constructor, and keeps it in readonly fields:
 *
 *     this.weight = this.parameter('weight', randn([out, in]));
 *     this.inProj = this.child('in_proj', new Linear(96, 192));
 *
 * Registered tensors survive every scope; `dispose()` frees them. Parameters are never replaced: a
 * narrower layer is a new layer.
 */
export abstract class Module {
  #training = true;
  #name = '';
  #parent: Module | null = null;
  readonly #parameters = new Map<string, Tensor>();
  readonly #buffers = new Map<string, Tensor>();
  /** Buffers that are in no file. */
  readonly #transient = new Map<string, Tensor>();
  readonly #children = new Map<string, Module>();
  readonly #derived: { release(): void }[] = [];

  abstract forward(...inputs: never[]): unknown;

  /** Whether the module behaves as in training (dropout, batch statistics); true at first. */
  get training(): boolean {
    return this.#training;
  }

  /**
   * Whether this module and all below are in evaluation mode. What computes a module in one go, as for inference, must
   * ask this: one layer may gather statistics, or drop, while the module around it evaluates.
   */
  get isEvaluating(): boolean {
    if (this.#training) return false;
    for (const child of this.#children.values()) if (!child.isEvaluating) return false;
    return true;
  }

  /** Switches this module and all below to training, or to evaluation. */
  train(on = true): this {
    if (on) this.#releaseDerived();
    this.#training = on;
    for (const child of this.#children.values()) child.train(on);
    return this;
  }

  eval(): this {
    return this.train(false);
  }

  // -- registration

  /**
   * Registers a trained tensor: it requires grad and is taken out of the scope it was made in.
   * @throws TypeError if the name is taken, or the tensor was computed from others that require grad
   */
  protected parameter(name: string, tensor: Tensor): Tensor {
    this.#checkName(name);
    if (!tensor.isLeaf || !tensor.isFloat) {
      throw new TypeError(
        `${this.label}: parameter "${name}" is ${tensor.toString()}${tensor.isLeaf ? '' : ' with a history'}, ` +
          'expected floats that were not computed with gradients. Make it inside noGrad().',
      );
    }
    tensor.requiresGrad = true;
    this.#parameters.set(name, tensor.keep());
    return tensor;
  }

  /**
   * Registers a tensor that is not trained.
   * @param options - `persistent: false` leaves it out of the state dict, and so of every file: it moves with the module and is
   *   freed with it, and that is all. Default `true`.
   */
  protected buffer(
    name: string,
    tensor: Tensor,
    options: { readonly persistent?: boolean } = {},
  ): Tensor {
    checkOptions(`${this.label}.buffer`, options, { persistent: 'boolean' });
    this.#checkName(name);
    const { persistent = true } = options;
    (persistent ? this.#buffers : this.#transient).set(name, tensor.keep());
    return tensor;
  }

  protected child<M extends Module>(name: string, module: M): M {
    this.#checkName(name);
    this.#children.set(name, module);
    module.#name = name;
    module.#parent = this;
    return module;
  }

  /**
   * Registers what is computed from the weights for inference, such as `DerivedWeights`: it is freed when the module is
   * switched to training, and with the module.
   */
  protected derived<D extends { release(): void }>(derived: D): D {
    this.#derived.push(derived);
    return derived;
  }

  #releaseDerived(): void {
    for (const derived of this.#derived) derived.release();
  }

  #checkName(name: string): void {
    if (name === '' || name.includes('.')) {
      throw new TypeError(`${this.label}: got the name "${name}", expected one without points.`);
    }
    const taken = [this.#parameters, this.#buffers, this.#transient, this.#children];
    if (taken.some((names) => names.has(name))) {
      throw new TypeError(`${this.label}: the name "${name}" is registered already.`);
    }
  }

  /** What error messages call the module: `Linear "blocks.0.ssm.in_proj"`. */
  protected get label(): string {
    const path: string[] = [];
    let parent = this.#parent;
    for (let name = this.#name; parent; parent = parent.#parent) {
      path.unshift(name);
      name = parent.#name;
    }
    const kind = this.constructor.name;
    return path.length > 0 ? `${kind} "${path.join('.')}"` : kind;
  }

  // -- what it has

  /** This module under the name '', and all below, parents first. */
  namedModules(): Map<string, Module> {
    const found = new Map<string, Module>();
    this.#visit('', (prefix, module) => found.set(prefix.slice(0, -1), module));
    return found;
  }

  /** Parameters by full name; one used in two places has its first name only. */
  namedParameters(): Map<string, Tensor> {
    const found = new Map<string, Tensor>();
    const seen = new Set<Tensor>();
    this.#visit('', (prefix, module) => {
      for (const [name, tensor] of module.#parameters) {
        if (!seen.has(tensor)) found.set(prefix + name, tensor);
        seen.add(tensor);
      }
    });
    return found;
  }

  parameters(): Tensor[] {
    return [...this.namedParameters().values()];
  }

  /** Those of the state dict. */
  namedBuffers(): Map<string, Tensor> {
    const found = new Map<string, Tensor>();
    this.#visit('', (prefix, module) => {
      for (const [name, tensor] of module.#buffers) found.set(prefix + name, tensor);
    });
    return found;
  }

  /** Numbers that are trained. */
  numParameters(): number {
    return this.parameters().reduce((sum, tensor) => sum + tensor.numel, 0);
  }

  /** `visit` is given the prefix of the module's names: '' or one that ends in a point. */
  #visit(prefix: string, visit: (prefix: string, module: Module) => void): void {
    visit(prefix, this);
    for (const [name, child] of this.#children) child.#visit(`${prefix}${name}.`, visit);
  }

  // -- state

  /**
   * Parameters and buffers by full name, in PyTorch's order: a module's own in the order they were
   * registered (parameters first), then its children's.
   *
   * These are the model's tensors themselves, not copies: the next optimizer step changes them.
   */
  stateDict(): Map<string, Tensor> {
    const state = new Map<string, Tensor>();
    this.#visit('', (prefix, module) => {
      for (const [name, tensor] of module.#parameters) state.set(prefix + name, tensor);
      for (const [name, tensor] of module.#buffers) state.set(prefix + name, tensor);
    });
    return state;
  }

  /** Every tensor that is registered here or below. */
  #tensors(): Tensor[] {
    const found = [...this.stateDict().values()];
    this.#visit('', (_prefix, module) => found.push(...module.#transient.values()));
    return found;
  }

  /**
   * Copies values into the parameters and buffers of the same names, converting type and device.
   * Either everything is copied or, after an error, nothing.
   *
   * @param options - `strict: false` allows missing and unexpected names. Default `true`.
   * @throws ShapeError naming the tensor and both shapes
   * @throws StateDictError listing missing and unexpected names, when strict
   */
  loadStateDict(
    state: ReadonlyMap<string, Tensor>,
    options: { readonly strict?: boolean } = {},
  ): LoadResult {
    checkOptions(`${this.label}.loadStateDict`, options, { strict: 'boolean' });
    const map = state as Partial<typeof state> | null | undefined;
    if (typeof map?.has !== 'function' || typeof map.get !== 'function') {
      throw new TypeError(
        `${this.label}.loadStateDict: got ${map === null ? 'null' : typeof map} in place of the tensors, ` +
          'expected a Map of them by name, as stateDict() gives.',
      );
    }
    const { strict = true } = options;
    const own = this.stateDict();
    const missing = [...own.keys()].filter((name) => !state.has(name));
    const unexpected = [...state.keys()].filter((name) => !own.has(name));
    if (strict && missing.length + unexpected.length > 0) {
      throw new StateDictError(
        `${this.label}.loadStateDict: ${missing.length} names missing${listed(missing)}, ` +
          `${unexpected.length} unexpected${listed(unexpected)}. Give { strict: false } to load the rest.`,
        missing,
        unexpected,
      );
    }
    const pairs: [Tensor, Tensor][] = [];
    for (const [name, target] of own) {
      const source = state.get(name);
      if (!source) continue;
      if (!sameShape(source.shape, target.shape)) {
        throw new ShapeError(
          `${this.label}.loadStateDict: "${name}" has shape [${source.shape.join(', ')}], ` +
            `expected [${target.shape.join(', ')}]. Build the model with the widths of the file.`,
        );
      }
      pairs.push([target, source]);
    }
    noGrad(() => {
      for (const [target, source] of pairs) target.copy_(source);
    });
    return { missing, unexpected };
  }

  /** Forgets the gradients of all parameters. */
  zeroGrad(): void {
    for (const tensor of this.parameters()) tensor.grad = null;
  }

  /**
   * Moves all parameters and buffers to a device, or converts those of floats to another float type.
   * Gradients are forgotten. The tensors stay the same objects, so optimizers keep working; move the
   * model before the optimizer's first step, whose state stays where it was made.
   */
  to(target: DType | (string & {})): this {
    const toType = !/^(cpu|cuda|meta|mps|xpu)/.test(target);
    for (const tensor of this.#tensors()) {
      if (toType && !tensor.isFloat) continue;
      const { requiresGrad } = tensor;
      scope(() => {
        const moved = noGrad(() => tensor.to(target));
        if (moved === tensor) return;
        moved.requiresGrad = requiresGrad;
        tensor.adopt(moved);
      });
    }
    return this;
  }

  /** Frees all parameters and buffers; the module cannot be used any more. */
  dispose(): void {
    // First the tensors: what they had lent need not come back.
    for (const tensor of this.#tensors()) tensor.dispose();
    this.#releaseDerived();
  }

  /** For `using`: `dispose`. */
  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** A module from one tensor to one tensor. */
export interface Layer extends Module {
  forward(input: Tensor): Tensor;
}

function sameShape(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((size, i) => size === b[i]);
}

function listed(names: readonly string[]): string {
  if (names.length === 0) return '';
  // Names come from files: one with a line feed would end the line.
  const shown = names
    .slice(0, 10)
    .map((name) => name.replaceAll('\n', String.raw`\n`))
    .join(', ');
  return ` (${shown}${names.length > 10 ? `, and ${names.length - 10} more` : ''})`;
}
