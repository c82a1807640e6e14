// The restricted world in which a torch.save pickle is read: known globals, storages, and nothing else.
import { FormatError } from '../errors.js';
import { quoted } from '../safetensors/header.js';
import { TorchArchive } from './archive.js';
import { NumpyArray } from './numpy-array.js';
import { numpyGlobals, setArrayState } from './numpy-globals.js';
import { type Call, NamespaceMap, pythonGlobals } from './python-globals.js';
import { otherTensor } from './other-tensor.js';
import type { StorageSource } from './source.js';
import { TorchStorage } from './storage.js';
import {
  dtypeNames,
  dtypesHere,
  isOpaque,
  storageTypes,
  storageItemSize,
  StorageReference,
  torchGlobals,
} from './torch-globals.js';
import { TorchTensor } from './torch-tensor.js';
import { wrappedTensor, wrapperCall } from './wrapped-tensor.js';
import { type Callee, describe, type PickleEnvironment, type Unpickler } from './unpickler.js';
import { type PickleValue, PythonGlobal, PythonObject } from './values.js';

export interface TorchSaveOptions {
  /**
   * What to do with a class or function that is not on our list: `refuse` the file, which is the default, or read on
   * with a `placeholder` (PythonGlobal, PythonObject) in its place. Neither runs any code; refusing makes
   * sure that nothing of a file is silently left out.
   */
  readonly onUnknownGlobal?: 'refuse' | 'placeholder';
  /** Whether to compare the checksums of the zip archive. Default `true`. */
  readonly checkCrc?: boolean;
}

export class TorchEnvironment implements PickleEnvironment {
  readonly where: string;
  readonly storages = new Map<string, TorchStorage>();
  readonly #itemSizes = new Map<string, number>();
  readonly #globals = new Map<string, PickleValue>();
  readonly #placeholders: boolean;
  readonly #checkCrc: boolean;
  readonly #source: StorageSource;

  constructor(source: StorageSource, options: TorchSaveOptions) {
    this.#source = source;
    this.where = `readTorchSave "${source.path}"`;
    this.#placeholders = options.onUnknownGlobal === 'placeholder';
    this.#checkCrc = options.checkCrc ?? true;
  }

  /** The same world under the name of one of several pickles of a file. */
  forPart(part: string): PickleEnvironment {
    return {
      where: this.where,
      part,
      findGlobal: (name) => this.findGlobal(name),
      call: (callee, args, machine) => this.call(callee, args, machine),
      callWithNames: (callee, args, named) => this.callWithNames(callee, args, named),
      persistent: (id, machine) => this.persistent(id, machine),
      build: (target, state, machine) => {
        this.build(target, state, machine);
      },
    };
  }

  /** Bytes of an element of a storage that was asked for. */
  itemSize(key: string): number {
    return this.#itemSizes.get(key) ?? 1;
  }

  findGlobal(name: string): PickleValue {
    let found = this.#globals.get(name);
    if (found === undefined) {
      if (dtypeNames.has(name)) {
        found = name;
      } else {
        if (!this.#placeholders && !isKnown(name)) throw this.#unknown(name);
        found = new PythonGlobal(name);
      }
      this.#globals.set(name, found);
    }
    return found;
  }

  call(callee: Callee, args: PickleValue[], machine: Unpickler): PickleValue {
    if (!(callee instanceof PythonGlobal)) {
      if (this.#placeholders) return new PythonObject(callee.global, args);
      machine.fail(`a call of ${describe(callee)}`);
    }
    const make = callOf(callee.name);
    if (this.#placeholders && (!make || isOpaque(callee.name, args))) {
      return placeholder(callee.name, args);
    }
    if (!make) machine.fail(`a call of "${callee.name}", which has no meaning in a checkpoint`);
    return make(args, machine);
  }

  callWithNames(callee: Callee, args: PickleValue[], named: PickleValue): PickleValue | undefined {
    if (!this.#placeholders) return undefined;
    const name = callee instanceof PythonGlobal ? callee.name : callee.global;
    return callOf(name) ? undefined : new PythonObject(name, [...args, named]);
  }

  /** torch's persistent ids: ('storage', class, key, device, number of elements[, part of another storage]). */
  persistent(id: PickleValue, machine: Unpickler): PickleValue {
    // A class with its source code, as torch < 1.6 saved whole modules.
    if (Array.isArray(id) && id[0] === 'module' && id[1] instanceof PythonGlobal) return id[1];
    if (!Array.isArray(id) || id[0] !== 'storage') {
      machine.fail(`the persistent id ${describe(id)}, expected a storage`);
    }
    const [, type, key, device, numel, part = null] = id;
    if (
      !(type instanceof PythonGlobal) ||
      (typeof key !== 'string' && typeof key !== 'number') ||
      typeof device !== 'string'
    ) {
      machine.fail('a storage without class, key, device and size');
    }
    if (typeof numel !== 'number' || !Number.isSafeInteger(numel) || numel < 0) {
      machine.fail(`a storage of ${describe(numel ?? null)} elements, expected fewer than 2^53`);
    }
    machine.count();
    const name = type.name.replace('torch.cuda.', 'torch.');
    const dtype = storageTypes.get(name);
    const itemSize = storageItemSize(name);
    // In an archive every storage has its entry; before, the bytes of all lie one behind the other.
    if (itemSize === undefined) {
      if (this.#placeholders && this.#source instanceof TorchArchive) {
        return new PythonObject(type.name, [key]);
      }
      machine.fail(`a storage of class "${type.name}"`);
    }
    const storage = this.#storage(String(key), numel * itemSize, machine);
    this.#itemSizes.set(storage.key, itemSize);
    if (numel * itemSize !== storage.byteLength) {
      machine.fail(
        `storage ${quoted(storage.key)} of ${numel} elements in "${type.name}" = ${numel * itemSize} bytes, ` +
          `expected the ${storage.byteLength} bytes of its entry`,
      );
    }
    if (dtype === undefined) {
      if (this.#placeholders) return new PythonObject(type.name, [key]);
      machine.fail(`a storage of class "${type.name}"`);
    }
    return new StorageReference(type.name, storage, dtype, device, viewOffset(part, machine));
  }

  build(target: PickleValue, state: PickleValue, machine: Unpickler): void {
    if (target instanceof NumpyArray) {
      setArrayState(target, state, machine);
    } else if (target instanceof PythonObject) {
      target.state = state;
    } else if (this.#placeholders && !(state instanceof Map)) {
      // Attributes of a kind that plain data has no place for.
    } else if (target instanceof NamespaceMap) {
      if (!(state instanceof Map))
        machine.fail(`${describe(state)} as attributes, expected a dict`);
      machine.charge(state.size);
      for (const [key, value] of state) target.set(key, value);
    } else if (
      !(target instanceof Map || target instanceof Set || target instanceof TorchTensor) &&
      !Array.isArray(target) &&
      typeof target !== 'string' &&
      !this.#placeholders
    ) {
      machine.fail(`attributes for ${describe(target)}`);
    }
    // Attributes of the others (OrderedDict's _metadata, hooks of tensors) have no place in plain data.
  }

  #storage(key: string, byteLength: number, machine: Unpickler): TorchStorage {
    let storage = this.storages.get(key);
    if (storage === undefined) {
      const entry = this.#source.locate(key, byteLength);
      if (entry === undefined) {
        machine.fail(
          this.#source instanceof TorchArchive
            ? `storage ${quoted(key)}, which the archive does not have`
            : `storage ${quoted(key)} of ${byteLength} bytes in a file of ${this.#source.size}`,
        );
      }
      storage = new TorchStorage(this.#source, entry, key, this.#checkCrc);
      this.storages.set(key, storage);
    }
    return storage;
  }

  #unknown(name: string): FormatError {
    const advice = /^torch\.\w*Storage$/.test(name)
      ? `Its element type is none of ${dtypesHere}: convert such tensors before saving.`
      : 'Save plain data and model.state_dict() instead of Python objects, or read the file with ' +
        "onUnknownGlobal: 'placeholder', which leaves a placeholder for it.";
    return new FormatError(
      `${this.where}: got the Python global ${quoted(name)}, expected only globals that hold plain data ` +
        `and tensors. Nothing of it was run. ${advice}`,
    );
  }
}

/** What stands for a call that is not known here: a tensor where it made one. */
const placeholder = (name: string, args: PickleValue[]): PickleValue =>
  (name === wrapperCall ? wrappedTensor(args) : undefined) ??
  otherTensor(name, args) ??
  new PythonObject(name, args);

const isKnown = (name: string): boolean =>
  pythonGlobals.has(name) || numpyGlobals.has(name) || torchGlobals.has(name);

const callOf = (name: string): Call | null | undefined =>
  torchGlobals.get(name) ?? numpyGlobals.get(name) ?? pythonGlobals.get(name);

/** A part of another storage: (its key, offset, size). @returns the offset, in elements */
function viewOffset(part: PickleValue, machine: Unpickler): number {
  if (part === null) return 0;
  const offset = Array.isArray(part) ? part[1] : undefined;
  if (typeof offset !== 'number' || !Number.isSafeInteger(offset) || offset < 0) {
    machine.fail(`${describe(part)} as the part of a storage`);
  }
  return offset;
}
