// What a torch.save file becomes in JavaScript.
import type { TorchTensor } from './torch-tensor.js';

/**
 * Python | JavaScript: None null, bool boolean, int number (bigint from 2^53 on), float number,
 * str string, bytes Uint8Array, list, tuple and torch.Size array, dict and its kin and
 * argparse.Namespace Map, set Set, dtype `'torch.float32'`, device `'cuda:0'`, tensor TorchTensor.
 * Arrays of numpy are NumpyArray, with a tensor if their elements are numbers; single values of numpy are
 * numbers, text or bytes where JavaScript has the like, else PythonObject.
 * The structure may contain the same object twice, and itself, as in Python.
 */
export type PickleValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | PickleValue[]
  | Map<PickleValue, PickleValue>
  | Set<PickleValue>
  | TorchTensor
  | PythonGlobal
  | PythonObject;

/** A class or function that the file names; never looked up, never called. */
export class PythonGlobal {
  readonly kind = 'global';
  readonly name: string;

  /** @param name - module and name, `collections.OrderedDict` */
  constructor(name: string) {
    this.name = name;
  }
}

/** An object of a class that we do not know, as plain data: what would have been passed to it. */
export class PythonObject {
  readonly kind = 'object';
  /** What its state would have been set to (usually a Map of its attributes). */
  state: PickleValue = null;
  /** What would have been appended, if it is a kind of list or set. */
  readonly items: PickleValue[] = [];
  /** What would have been stored under keys, if it is a kind of dict. */
  readonly entries = new Map<PickleValue, PickleValue>();
  /** The class or function, `module.name`. */
  readonly global: string;
  readonly args: PickleValue;

  constructor(global: string, args: PickleValue) {
    this.global = global;
    this.args = args;
  }
}

/** A tensor that no tensor here can be: of another element type, quantised, sparse, or without values. */
export class OtherTensor extends PythonObject {
  /** `a tensor of float8_e4m3fn`. */
  readonly what: string;
  /** What to do, as a sentence. */
  readonly advice: string;
  /** Undefined where the file does not say it. */
  readonly shape: readonly number[] | undefined;

  constructor(
    global: string,
    args: PickleValue,
    { what, advice, shape }: Pick<OtherTensor, 'what' | 'advice' | 'shape'>,
  ) {
    super(global, args);
    this.what = what;
    this.advice = advice;
    this.shape = shape;
  }
}
