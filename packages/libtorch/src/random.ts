// Random numbers: seeds, streams of their own, and the state of the default generators.
import { newTypedArray } from './dtype.js';
import { native, type Handle } from './native.js';

const registry = new FinalizationRegistry<Handle>((handle) => {
  native.dispose(handle);
});

/** A stream of random numbers of its own, apart from the default one. CPU only. */
export class Generator {
  /** @internal */
  readonly handle: Handle;

  /** @param seed - an integer from 0 to 2^53-1; the same seed gives the same numbers */
  constructor(seed: number) {
    this.handle = native.newGenerator(seed);
    registry.register(this, this.handle);
  }

  getState(): Uint8Array {
    return readState(this.handle);
  }

  setState(state: Uint8Array): void {
    writeState(this.handle, state);
  }
}

function readState(generator: Handle): Uint8Array {
  const handle = native.generatorState(generator);
  try {
    const state = newTypedArray('uint8', native.sizes(handle)[0] ?? 0) as Uint8Array;
    native.readInto(handle, state);
    return state;
  } finally {
    native.dispose(handle);
  }
}

function writeState(generator: Handle, state: Uint8Array): void {
  const handle = native.fromBytes(state, 'uint8', [state.length]);
  try {
    native.setGeneratorState(generator, handle);
  } finally {
    native.dispose(handle);
  }
}

/** Seeds the default generators of the CPU and of every GPU. */
export function manualSeed(seed: number): void {
  native.seedAll(seed);
}

/** State of a device's default generator, to continue from exactly here later. */
export function getRngState(device = 'cpu'): Uint8Array {
  const generator = native.defaultGenerator(device);
  try {
    return readState(generator);
  } finally {
    native.dispose(generator);
  }
}

/** @throws Error if `state` is none that `getRngState` gave */
export function setRngState(state: Uint8Array, device = 'cpu'): void {
  const generator = native.defaultGenerator(device);
  try {
    writeState(generator, state);
  } finally {
    native.dispose(generator);
  }
}
