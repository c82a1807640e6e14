// Numbers in bytes, one by one: values of numpy, and small tensors that are settings and no weights.

/** @param at - its first byte */
export type ReadNumber = (view: DataView, at: number, little: boolean) => number | bigint | boolean;

/** By numpy's names of element types, kind and size; `bf2` is bfloat16, which numpy does not have. */
const numberReaders: Readonly<Record<string, ReadNumber>> = {
  f8: (view, at, little) => view.getFloat64(at, little),
  f4: (view, at, little) => view.getFloat32(at, little),
  f2: (view, at, little) => halfToNumber(view.getUint16(at, little)),
  bf2: (view, at, little) => bfloat16ToNumber(view.getUint16(at, little)),
  i8: (view, at, little) => toNumber(view.getBigInt64(at, little)),
  i4: (view, at, little) => view.getInt32(at, little),
  i2: (view, at, little) => view.getInt16(at, little),
  i1: (view, at) => view.getInt8(at),
  u8: (view, at, little) => toNumber(view.getBigUint64(at, little)),
  u4: (view, at, little) => view.getUint32(at, little),
  u2: (view, at, little) => view.getUint16(at, little),
  u1: (view, at) => view.getUint8(at),
  b1: (view, at) => view.getUint8(at) !== 0,
};

/** @returns undefined for an element type that is no number of JavaScript */
export const numberReader = (code: string): ReadNumber | undefined =>
  Object.hasOwn(numberReaders, code) ? numberReaders[code] : undefined;

/** A number where it is exact, a bigint beyond. */
export function toNumber(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

/** IEEE 754 binary16: 1 sign, 5 exponent, 10 fraction bits. */
function halfToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 0x1f) return fraction === 0 ? sign * Infinity : NaN;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** The upper half of a float32. */
function bfloat16ToNumber(bits: number): number {
  const view = new DataView(new ArrayBuffer(4));
  view.setUint16(0, bits);
  return view.getFloat32(0);
}
