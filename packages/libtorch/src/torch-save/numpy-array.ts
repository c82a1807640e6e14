// Arrays of numpy, whose bytes lie in the pickle itself, as tensors or as lists of texts.
import {
  denseByteLength,
  maxDimensions,
  safetensorsItemSize,
  type SafetensorsDType,
} from '../safetensors/dtype.js';
import { characterBytes, numpyText, trimmed } from './numpy-text.js';
import { MemoryStorage } from './storage.js';
import { TorchTensor } from './torch-tensor.js';
import { describe, type Unpickler } from './unpickler.js';
import { type PickleValue, PythonObject } from './values.js';

/** An array; it has a tensor if its elements are numbers that tensors can have. */
export class NumpyArray extends PythonObject {
  tensor: TorchTensor | undefined;
  /** Of an array in one dimension: elements that are texts, or Python's own objects. */
  values: PickleValue[] | undefined;

  constructor() {
    super('numpy.ndarray', null);
  }
}

export interface NumpyDType {
  /** Kind and size, `f4`. */
  readonly code: string;
  /** b bool, i, u integers, f floats, c complex, S bytes, U text, M and m times, V other. */
  readonly kind: string;
  /** Bytes of an element. */
  readonly size: number;
  readonly little: boolean;
}

/** @returns undefined for what is no simple type: objects, records */
export function numpyDTypeOf(value: PickleValue | undefined): NumpyDType | undefined {
  if (!(value instanceof PythonObject) || value.global !== 'numpy.dtype') return undefined;
  const name = Array.isArray(value.args) ? value.args[0] : undefined;
  if (typeof name !== 'string') return undefined;
  const match = /^[<>=|]?([biufcSUMmV])(\d{1,9})$/.exec(name);
  if (match === null) return undefined;
  const [, kind = '', digits = ''] = match;
  // The type's state is (version, byte order, ...); '|' and '=' need no swap.
  const order = Array.isArray(value.state) ? value.state[1] : name[0];
  return {
    code: `${kind}${digits}`,
    kind,
    size: Number(digits) * (kind === 'U' ? characterBytes : 1),
    little: order !== '>',
  };
}

/** Element types that tensors have too. */
const sameTypes: Readonly<Record<string, SafetensorsDType>> = {
  f8: 'F64',
  f4: 'F32',
  f2: 'F16',
  i8: 'I64',
  i4: 'I32',
  i2: 'I16',
  i1: 'I8',
  u1: 'U8',
  b1: 'BOOL',
};

/** Those that fit into the next larger type; of 64 bits there is none, and values beyond 2^63 are rare. */
const widerTypes: Readonly<Record<string, SafetensorsDType>> = { u2: 'I32', u4: 'I64', u8: 'I64' };

interface ArrayParts {
  readonly shape: PickleValue | undefined;
  readonly dtype: PickleValue | undefined;
  readonly fortran: boolean;
  readonly data: PickleValue | undefined;
}

/**
 * Gives an array what it holds: a tensor if there is one of its element type, or a list.
 * @throws FormatError if the bytes are not those of the shape
 */
export function fillArray(array: NumpyArray, parts: ArrayParts, m: Unpickler): void {
  const { data } = parts;
  const dtype = numpyDTypeOf(parts.dtype);
  const isList = Array.isArray(parts.shape) && parts.shape.length === 1;
  if (dtype === undefined && Array.isArray(data)) array.values = isList ? data : undefined;
  else if (dtype !== undefined && ['S', 'U'].includes(dtype.kind)) {
    if (isList && data instanceof Uint8Array) array.values = textsIn(data, dtype, m);
  } else toTensor(array, dtype, parts, m);
}

function textsIn(bytes: Uint8Array, { kind, size, little }: NumpyDType, m: Unpickler): string[] {
  if (size === 0) return [];
  m.charge(bytes.length);
  return Array.from({ length: Math.floor(bytes.length / size) }, (_, i) => {
    const one = bytes.subarray(i * size, (i + 1) * size);
    return kind === 'U'
      ? numpyText(new DataView(one.buffer, one.byteOffset, one.byteLength), little)
      : Buffer.from(trimmed(one)).toString('utf8');
  });
}

function toTensor(
  array: NumpyArray,
  dtype: NumpyDType | undefined,
  parts: ArrayParts,
  m: Unpickler,
): void {
  const same = dtype === undefined ? undefined : own(sameTypes, dtype.code);
  const wider = dtype === undefined ? undefined : own(widerTypes, dtype.code);
  const target = same ?? wider;
  if (dtype === undefined || target === undefined) return;
  // A str of Python 2 that happens to be UTF-8.
  const data = typeof parts.data === 'string' ? Buffer.from(parts.data) : parts.data;
  if (!(data instanceof Uint8Array)) {
    m.fail(`a numpy array of ${describe(data ?? null)}, expected bytes`);
  }
  const shape = naturals(parts.shape, m);
  const count = shape.reduce((product, size) => product * size, 1);
  if (denseByteLength(shape, target) === undefined || count * dtype.size !== data.length) {
    m.fail(
      `a numpy array of shape [${shape.join(', ')}] and ${dtype.code} in ${data.length} bytes`,
    );
  }
  m.charge(dtype.little && same !== undefined ? shape.length : data.length);
  const little = dtype.little ? data : swapped(data, dtype.size);
  const bytes = same === undefined ? widened(little, dtype.size, m) : little;
  const itemSize = safetensorsItemSize[target];
  if (bytes.length !== count * itemSize) m.fail('a numpy array of another length');
  array.tensor = new TorchTensor(
    new MemoryStorage(bytes, `numpy:${m.position}`),
    { dtype: target, shape, strides: stridesOf(shape, parts.fortran), storageOffset: 0 },
    false,
    'cpu',
    m.where,
  );
}

function own<T>(table: Readonly<Record<string, T>>, name: string): T | undefined {
  return Object.hasOwn(table, name) ? table[name] : undefined;
}

function naturals(value: PickleValue | undefined, m: Unpickler): number[] {
  if (!Array.isArray(value) || value.length > maxDimensions) {
    m.fail(`${describe(value ?? null)} as the shape of a numpy array`);
  }
  return value.map((size) => {
    if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) {
      m.fail(`${describe(size)} in the shape of a numpy array`);
    }
    return size;
  });
}

function stridesOf(shape: readonly number[], fortran: boolean): number[] {
  const strides = new Array<number>(shape.length).fill(1);
  let step = 1;
  const dims = Array.from(shape.keys());
  for (const dim of fortran ? dims : dims.reverse()) {
    strides[dim] = step;
    step *= shape[dim] ?? 1;
  }
  return strides;
}

function swapped(bytes: Uint8Array, size: number): Uint8Array {
  const copy = Buffer.from(new Uint8Array(bytes).buffer);
  if (size === 2) return copy.swap16();
  if (size === 4) return copy.swap32();
  return size === 8 ? copy.swap64() : copy;
}

/** Unsigned integers in the next larger signed type. */
function widened(bytes: Uint8Array, size: number, m: Unpickler): Uint8Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const count = bytes.length / size;
  if (size === 2) {
    const wide = Int32Array.from({ length: count }, (_, i) => view.getUint16(2 * i, true));
    return new Uint8Array(wide.buffer);
  }
  const wide = new BigInt64Array(count);
  for (let i = 0; i < count; i += 1) {
    const value = size === 4 ? BigInt(view.getUint32(4 * i, true)) : view.getBigUint64(8 * i, true);
    if (value >= 2n ** 63n) m.fail(`the uint64 ${value} in a numpy array, expected less than 2^63`);
    wide[i] = value;
  }
  return new Uint8Array(wide.buffer);
}
