// Element types of tensors and their layout in memory.
/** Element types, by their PyTorch names. */
export const dtypes = [
  'float32',
  'float64',
  'float16',
  'bfloat16',
  'int64',
  'int32',
  'int16',
  'int8',
  'uint8',
  'bool',
] as const;

export type DType = (typeof dtypes)[number];

export type MemoryFormat = 'contiguous_format' | 'preserve_format' | 'channels_last';

/** The typed arrays whose elements have the layout of a tensor's. */
export type TypedArray =
  | Float32Array
  | Float64Array
  | Uint16Array
  | BigInt64Array
  | Int32Array
  | Int16Array
  | Int8Array
  | Uint8Array;

const arrays = {
  float32: Float32Array,
  float64: Float64Array,
  float16: Uint16Array, // raw bits: Node 20 has no Float16Array
  bfloat16: Uint16Array,
  int64: BigInt64Array,
  int32: Int32Array,
  int16: Int16Array,
  int8: Int8Array,
  uint8: Uint8Array,
  bool: Uint8Array,
} as const;

/** Bytes of one element. */
export function elementSize(dtype: DType): number {
  return arrays[dtype].BYTES_PER_ELEMENT;
}

/** A zero-filled array for `length` elements of `dtype`; 16-bit floats are given as raw bits. */
export function newTypedArray(dtype: DType, length: number): TypedArray {
  return new arrays[dtype](length);
}

/** The dtype a typed array's elements have by default, or undefined for a kind no tensor has. */
export function dtypeOfArray(array: ArrayBufferView): DType | undefined {
  if (array instanceof Float32Array) return 'float32';
  if (array instanceof Float64Array) return 'float64';
  if (array instanceof BigInt64Array) return 'int64';
  if (array instanceof Int32Array) return 'int32';
  if (array instanceof Int16Array) return 'int16';
  if (array instanceof Int8Array) return 'int8';
  if (array instanceof Uint8Array) return 'uint8';
  return undefined;
}

export function isFloat(dtype: DType): boolean {
  return dtype === 'float32' || dtype === 'float64' || dtype === 'float16' || dtype === 'bfloat16';
}
