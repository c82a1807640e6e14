// Modules that hold a list of modules.
import type { Tensor } from '../tensor.js';
import { type Layer, Module } from './module.js';

/** Layers one after the other, named '0', '1', ... */
export class Sequential extends Module {
  readonly layers: readonly Layer[];

  constructor(...layers: readonly Layer[]) {
    super();
    this.layers = layers.map((layer, i) => this.child(String(i), layer));
  }

  forward(x: Tensor): Tensor {
    return this.layers.reduce((value, layer) => layer.forward(value), x);
  }
}

/** Modules of one kind, named '0', '1', ...; what runs them is up to the owner. */
export class ModuleList<M extends Module> extends Module implements Iterable<M> {
  readonly items: readonly M[];

  constructor(items: Iterable<M>) {
    super();
    this.items = Array.from(items, (item, i) => this.child(String(i), item));
  }

  get length(): number {
    return this.items.length;
  }

  [Symbol.iterator](): Iterator<M> {
    return this.items[Symbol.iterator]();
  }

  /** @throws TypeError always: a list has no order of computation */
  forward(): never {
    throw new TypeError(`${this.label}: has no forward of its own. Loop over its modules.`);
  }
}
