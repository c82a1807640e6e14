/** The restricted world in which a torch.save pickle is read: known globals, storages, and nothing else. */
import { FormatError } from '../errors.js';
import { quoted } from '../safetensors/header.js';
import { type TorchArchive } from './archive.js';
import { NamespaceMap, PYTHON_GLOBALS } from './python-globals.js';
import { TorchStorage } from './storage.js';
import {
  DTYPE_NAMES,
  STORAGE_TYPES,
  storageBytes,
  StorageReference,
  TORCH_GLOBALS,
} from './torch-globals.js';
import { TorchTensor } from './torch-tensor.js';
import { describe, type PickleEnvironment, type Unpickler } from './unpickler.js';
import { type PickleValue, PythonGlobal, PythonObject } from './values.js';

export interface TorchSaveOptions {
  /**
   * What to do with a class or function that is not on our list: `refuse` the file (default), or read on
   * with a `placeholder` (PythonGlobal, PythonObject) in its place. Neither runs any code; refusing makes
   * sure that nothing of a file is silently left out.
   */
  readonly onUnknownGlobal?: 'refuse' | 'placeholder';
  /** Whether to compare the zip archive's checksums (default true). */
  readonly checkCrc?: boolean;
}

export class TorchEnvironment implements PickleEnvironment {
  readonly where: string;
  readonly storages = new Map<string, TorchStorage>();
  private readonly globals = new Map<string, PickleValue>();
  private readonly placeholders: boolean;
  private readonly checkCrc: boolean;

  constructor(
    private readonly archive: TorchArchive,
    options: TorchSaveOptions,
  ) {
    this.where = `readTorchSave "${archive.path}"`;
    this.placeholders = options.onUnknownGlobal === 'placeholder';
    this.checkCrc = options.checkCrc ?? true;
  }

  findGlobal(name: string): PickleValue {
    let found = this.globals.get(name);
    if (found === undefined) {
      if (DTYPE_NAMES.has(name)) {
        found = name;
      } else {
        if (!this.placeholders && !PYTHON_GLOBALS.has(name) && !TORCH_GLOBALS.has(name)) {
          throw this.unknown(name);
        }
        found = new PythonGlobal(name);
      }
      this.globals.set(name, found);
    }
    return found;
  }

  call(callee: PythonGlobal, args: PickleValue[], machine: Unpickler): PickleValue {
    const make = TORCH_GLOBALS.get(callee.name) ?? PYTHON_GLOBALS.get(callee.name);
    const first = args[0];
    if (this.placeholders) {
      // A tensor whose storage has an unknown type becomes a placeholder too.
      const opaque =
        TORCH_GLOBALS.has(callee.name) &&
        first instanceof PythonObject &&
        !(first instanceof StorageReference);
      if (opaque || !make) return new PythonObject(callee.name, args);
    }
    if (!make) machine.fail(`a call of "${callee.name}", which has no meaning in a checkpoint`);
    return make(args, machine);
  }

  /** torch's persistent ids: ('storage', class, key, device, number of elements). */
  persistent(id: PickleValue, machine: Unpickler): PickleValue {
    if (!Array.isArray(id) || id[0] !== 'storage') {
      machine.fail(`the persistent id ${describe(id)}, expected a storage`);
    }
    const [, type, key, device, numel] = id;
    if (
      !(type instanceof PythonGlobal) ||
      typeof key !== 'string' ||
      typeof device !== 'string' ||
      typeof numel !== 'number'
    ) {
      machine.fail('a storage without class, key, device and size');
    }
    machine.count();
    const dtype = STORAGE_TYPES.get(type.name);
    if (dtype === undefined) {
      if (this.placeholders) return new PythonObject(type.name, [key]);
      machine.fail(`a storage of class "${type.name}"`);
    }
    const storage = this.storage(key, machine);
    const bytes = storageBytes(dtype, numel);
    if (bytes !== storage.byteLength) {
      machine.fail(
        `storage ${quoted(key)} of ${numel} elements in "${type.name}" = ${bytes} bytes, ` +
          `expected the ${storage.byteLength} bytes of its entry`,
      );
    }
    return new StorageReference(type.name, storage, dtype, device);
  }

  build(target: PickleValue, state: PickleValue, machine: Unpickler): void {
    if (target instanceof PythonObject) {
      target.state = state;
    } else if (target instanceof NamespaceMap) {
      if (!(state instanceof Map))
        machine.fail(`${describe(state)} as attributes, expected a dict`);
      machine.charge(state.size);
      for (const [key, value] of state) target.set(key, value);
    } else if (
      !(target instanceof Map || target instanceof Set || target instanceof TorchTensor) &&
      !Array.isArray(target) &&
      typeof target !== 'string'
    ) {
      machine.fail(`attributes for ${describe(target)}`);
    }
    // Attributes of the others (OrderedDict's _metadata, hooks of tensors) have no place in plain data.
  }

  private storage(key: string, machine: Unpickler): TorchStorage {
    let storage = this.storages.get(key);
    if (storage === undefined) {
      const entry = this.archive.entry(`data/${key}`);
      if (entry === undefined)
        machine.fail(`storage ${quoted(key)}, which the archive does not have`);
      storage = new TorchStorage(this.archive, entry, key, this.checkCrc);
      this.storages.set(key, storage);
    }
    return storage;
  }

  private unknown(name: string): FormatError {
    const advice = /^torch\.\w*Storage$/.test(name)
      ? 'Its element type has no place here: convert such tensors before saving.'
      : 'Save plain data and model.state_dict() instead of Python objects, or read the file with ' +
        "onUnknownGlobal: 'placeholder', which leaves a placeholder for it.";
    return new FormatError(
      `${this.where}: got the Python global ${quoted(name)}, expected only globals that hold plain data ` +
        `and tensors. Nothing of it was run. ${advice}`,
    );
  }
}
