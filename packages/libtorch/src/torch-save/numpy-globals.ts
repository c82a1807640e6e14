// Globals of numpy that checkpoints contain: element types, single values, and arrays.
import type { Call } from './python-globals.js';
import { NumpyArray, fillArray, numpyDTypeOf } from './numpy-array.js';
import { numpyText, trimmed } from './numpy-text.js';
import { numberReader } from './number-readers.js';
import { describe, type Unpickler } from './unpickler.js';
import { type PickleValue, PythonObject } from './values.js';

/** numpy 2 calls `numpy.core` `numpy._core`. */
const inBothCores = (name: string, call: Call): [string, Call][] =>
  ['core', '_core'].map((core) => [`numpy.${core}.${name}`, call]);

export const numpyGlobals: ReadonlyMap<string, Call | null> = new Map<string, Call | null>([
  ['numpy.dtype', (args) => new PythonObject('numpy.dtype', [...args])],
  ['numpy.ndarray', null],
  ...inBothCores('multiarray.scalar', scalar),
  // An empty array, whose state is set afterwards (protocols 2 to 4).
  ...inBothCores('multiarray._reconstruct', () => new NumpyArray()),
  // (buffer, dtype, shape, order): protocol 5.
  ...inBothCores('numeric._frombuffer', fromBuffer),
]);

/** The state of an array: (version, shape, dtype, whether in the order of Fortran, bytes). */
export function setArrayState(array: NumpyArray, state: PickleValue, m: Unpickler): void {
  if (!Array.isArray(state) || state.length < 4 || state.length > 5) {
    m.fail(`${describe(state)} as the state of a numpy array, expected a tuple of 5`);
  }
  const [shape, dtype, fortran, data] = state.slice(-4);
  fillArray(array, { shape, dtype, fortran: fortran === true, data }, m);
}

function fromBuffer(args: readonly PickleValue[], m: Unpickler): PickleValue {
  const [data, dtype, shape, order] = args;
  const array = new NumpyArray();
  fillArray(array, { shape, dtype, fortran: order === 'F', data }, m);
  return array;
}

/** numpy.core.multiarray.scalar(dtype, bytes): one value, such as a mean accuracy. */
function scalar(args: readonly PickleValue[], m: Unpickler): PickleValue {
  const [type, value = null] = args;
  const dtype = numpyDTypeOf(type);
  const bytes = typeof value === 'string' ? Buffer.from(value) : value; // str of Python 2
  if (dtype === undefined || !(bytes instanceof Uint8Array)) {
    if (type instanceof PythonObject && type.global === 'numpy.dtype') return opaque(args);
    m.fail('a numpy scalar without dtype and bytes');
  }
  if (dtype.size !== bytes.length) {
    m.fail(`a numpy scalar of ${dtype.size} bytes in ${bytes.length}`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const read = numberReader(dtype.code);
  if (read !== undefined) return read(view, 0, dtype.little);
  if (dtype.kind === 'S') return trimmed(bytes);
  if (dtype.kind === 'U') return numpyText(view, dtype.little);
  return opaque(args); // datetimes, complex and long numbers: no value of JavaScript is like them
}

function opaque(args: readonly PickleValue[]): PythonObject {
  return new PythonObject('numpy.core.multiarray.scalar', [...args]);
}
