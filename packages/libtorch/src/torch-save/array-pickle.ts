// Pickles of plain data and arrays of numpy, as data sets are distributed: CIFAR's "python version" is one
// dict per file. Read by the machine that reads torch.save files, so that no code of the file is run.
import { FormatError } from '../errors.js';
import { quoted } from '../safetensors/header.js';
import { pythonGlobals, type Call } from './python-globals.js';
import { describe, type PickleEnvironment, Unpickler } from './unpickler.js';
import { type PickleValue, PythonGlobal, PythonObject } from './values.js';

/** An array of numpy as its pickle holds it; nothing is checked but the kinds of the parts. */
export class PickledArray extends PythonObject {
  shape: readonly number[] = [];
  /** numpy's name of the element type without the byte order: `u1`, `i8`. */
  dtype = '';
  /** Whether elements are in the order of the first index, as Fortran has them. */
  fortran = false;
  bytes: Uint8Array = new Uint8Array(0);

  constructor() {
    super('numpy.ndarray', null);
  }
}

/**
 * @returns what was pickled, with a PickledArray for every array; a dict is a Map, whose keys are strings or,
 *   as Python 3 reads what Python 2 wrote, bytes
 * @throws FormatError, without a file's name, if it is no complete pickle or names a global that is not plain data
 */
export function readArrayPickle(bytes: Uint8Array): PickleValue {
  return new ArrayUnpickler(bytes, environment).load();
}

class ArrayUnpickler extends Unpickler {
  override fail(found: string): never {
    throw new FormatError(`byte ${this.position}: got ${found}`);
  }
}

/** numpy 2 calls `numpy.core` `numpy._core`. */
const inBothCores = (name: string, call: Call): [string, Call][] =>
  ['core', '_core'].map((core) => [`numpy.${core}.${name}`, call]);

const knownGlobals: ReadonlyMap<string, Call | null> = new Map<string, Call | null>([
  ...pythonGlobals,
  ['numpy.dtype', (args) => new PythonObject('numpy.dtype', [...args])],
  ['numpy.ndarray', null],
  // An empty array, whose state is set afterwards (protocols 2 to 4).
  ...inBothCores('multiarray._reconstruct', () => new PickledArray()),
  // (buffer, dtype, shape, order): protocol 5.
  ...inBothCores('numeric._frombuffer', ([data, dtype, shape, order], m) =>
    fill(new PickledArray(), { shape, dtype, fortran: order === 'F', data }, m),
  ),
]);

const environment: PickleEnvironment = {
  where: 'readArrayPickle',
  findGlobal(name) {
    if (!knownGlobals.has(name)) {
      throw new FormatError(
        `it names the Python global ${quoted(name)}, expected only plain data and arrays of numpy; nothing of it was run`,
      );
    }
    return new PythonGlobal(name);
  },
  call(callee: PickleValue, args, machine) {
    const make = callee instanceof PythonGlobal ? knownGlobals.get(callee.name) : undefined;
    return make ? make(args, machine) : machine.fail(`a call of ${describe(callee)}`);
  },
  persistent(id, machine) {
    return machine.fail(`the persistent id ${describe(id)}, which has no meaning here`);
  },
  build(target, state, machine: Unpickler) {
    if (target instanceof PickledArray) {
      if (!Array.isArray(state) || state.length < 4 || state.length > 5) {
        machine.fail(`${describe(state)} as the state of a numpy array, expected a tuple of 5`);
      }
      const [shape, dtype, fortran, data] = state.slice(-4);
      fill(target, { shape, dtype, fortran: fortran === true, data }, machine);
    } else if (target instanceof PythonObject) target.state = state;
    else machine.fail(`attributes for ${describe(target)}`);
  },
};

interface ArrayParts {
  readonly shape: PickleValue | undefined;
  readonly dtype: PickleValue | undefined;
  readonly fortran: boolean;
  readonly data: PickleValue | undefined;
}

function fill(array: PickledArray, parts: ArrayParts, m: Unpickler): PickledArray {
  const { shape = null, dtype = null, fortran, data = null } = parts;
  const isShape =
    Array.isArray(shape) && shape.every((n): n is number => typeof n === 'number' && n >= 0);
  if (!isShape) m.fail(`${describe(shape)} as the shape of a numpy array`);
  if (!(dtype instanceof PythonObject) || dtype.global !== 'numpy.dtype') {
    m.fail(`${describe(dtype)} as the element type of a numpy array`);
  }
  const code = Array.isArray(dtype.args) ? dtype.args[0] : undefined;
  // The state is (version, byte order, ...); arrays of objects have a list for their bytes.
  const isBig = Array.isArray(dtype.state) && dtype.state[1] === '>';
  if (typeof code !== 'string' || isBig || code.startsWith('>')) {
    m.fail('a numpy array in another byte order than that of this machine');
  }
  // A str of Python 2 that happens to be UTF-8.
  const bytes = typeof data === 'string' ? Buffer.from(data, 'utf8') : data;
  if (!(bytes instanceof Uint8Array)) m.fail(`a numpy array of ${describe(data)}, expected bytes`);
  array.shape = shape;
  array.dtype = code.replace(/^[<=|]/, '');
  array.fortran = fortran;
  array.bytes = bytes;
  return array;
}
