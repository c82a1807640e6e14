// Globals of numpy that checkpoints contain: element types, single values, and arrays.
import type { Call } from './python-globals.js';
import { NumpyArray, numpyDTypeOf, toTensor } from './numpy-array.js';
import { describe, toNumber, type Unpickler } from './unpickler.js';
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
  toTensor(array, { shape, dtype, fortran: fortran === true, data }, m);
}

function fromBuffer(args: readonly PickleValue[], m: Unpickler): PickleValue {
  const [data, dtype, shape, order] = args;
  const array = new NumpyArray();
  toTensor(array, { shape, dtype, fortran: order === 'F', data }, m);
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
  const read = Object.hasOwn(numberReaders, dtype.code) ? numberReaders[dtype.code] : undefined;
  if (read !== undefined) return read(view, dtype.little);
  if (dtype.kind === 'S') return trimmed(bytes);
  if (dtype.kind === 'U') return text(view, dtype.little);
  return opaque(args); // datetimes, complex and long numbers: no value of JavaScript is like them
}

function opaque(args: readonly PickleValue[]): PythonObject {
  return new PythonObject('numpy.core.multiarray.scalar', [...args]);
}

type ReadNumber = (view: DataView, little: boolean) => number | bigint | boolean;

/** By numpy's names: kind and size. */
const numberReaders: Readonly<Record<string, ReadNumber>> = {
  f8: (view, little) => view.getFloat64(0, little),
  f4: (view, little) => view.getFloat32(0, little),
  f2: (view, little) => halfToNumber(view.getUint16(0, little)),
  i8: (view, little) => toNumber(view.getBigInt64(0, little)),
  i4: (view, little) => view.getInt32(0, little),
  i2: (view, little) => view.getInt16(0, little),
  i1: (view) => view.getInt8(0),
  u8: (view, little) => toNumber(view.getBigUint64(0, little)),
  u4: (view, little) => view.getUint32(0, little),
  u2: (view, little) => view.getUint16(0, little),
  u1: (view) => view.getUint8(0),
  b1: (view) => view.getUint8(0) !== 0,
};

/** IEEE 754 binary16: 1 sign, 5 exponent, 10 fraction bits. */
function halfToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 0x1f) return fraction === 0 ? sign * Infinity : NaN;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** numpy fills up with zeros, which are no part of the value. */
function trimmed(bytes: Uint8Array): Uint8Array {
  let end = bytes.length;
  while (end > 0 && bytes[end - 1] === 0) end -= 1;
  return new Uint8Array(bytes.subarray(0, end));
}

/** UTF-32, filled up with zeros. */
function text(view: DataView, little: boolean): string {
  let result = '';
  for (let at = 0; at + 4 <= view.byteLength; at += 4) {
    const code = view.getUint32(at, little);
    result += code <= 0x10ffff ? String.fromCodePoint(code) : '\ufffd';
  }
  return result.replace(/\0+$/, '');
}
