// Numbers as the bytes of a tensor in an ONNX file: little-endian.
import type { ElementType } from './messages.js';

export type NumberArray = ArrayLike<number>;

const arrays = {
  float32: Float32Array,
  uint8: Uint8Array,
  int8: Int8Array,
  int32: Int32Array,
  bool: Uint8Array,
} as const;

export function encodeElements(type: ElementType, data: NumberArray): Uint8Array {
  if (type === 'int64') return bytesOf(BigInt64Array.from(Array.from(data, BigInt)));
  if (type === 'float16') return bytesOf(Uint16Array.from(data, toFloat16Bits));
  const array = arrays[type];
  return bytesOf(data instanceof array ? data : array.from(data));
}

function bytesOf(array: NodeJS.TypedArray): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}

const float = new Float32Array(1);
const bits = new Uint32Array(float.buffer);

/** The nearest float16 (ties to even) as its 16 bits. */
export function toFloat16Bits(value: number): number {
  float[0] = value;
  const x = bits[0] as number;
  const sign = (x >>> 16) & 0x8000;
  const magnitude = x & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00; // NaN
  // 65520 and more round to infinity.
  if (magnitude >= 0x477ff000) return sign | 0x7c00;
  // Below 2^-14 the exponent is fixed: adding 0.5 lets the float32 adder round to a multiple of 2^-24.
  if (magnitude < 0x38800000) {
    bits[0] = magnitude;
    float[0] = float[0] + 0.5;
    return sign | (bits[0] - 0x3f000000);
  }
  const odd = (magnitude >>> 13) & 1;
  return sign | ((magnitude - 0x38000000 + 0xfff + odd) >>> 13);
}
