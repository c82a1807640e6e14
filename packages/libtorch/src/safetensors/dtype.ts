// Element types of the safetensors format.
import type { DType } from '../dtype.js';

/** Element types of the safetensors format that libtorch's tensors here can have, with their size in bytes. */
export const safetensorsItemSize = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  I64: 8,
  I32: 4,
  I16: 2,
  I8: 1,
  U8: 1,
  BOOL: 1,
} as const;

/** Name of an element type, as safetensors writes it. */
export type SafetensorsDType = keyof typeof safetensorsItemSize;

/** What safetensors calls the types of tensors, which have torch's names. */
export const safetensorsDTypes = {
  float64: 'F64',
  float32: 'F32',
  float16: 'F16',
  bfloat16: 'BF16',
  int64: 'I64',
  int32: 'I32',
  int16: 'I16',
  int8: 'I8',
  uint8: 'U8',
  bool: 'BOOL',
} as const satisfies Record<DType, SafetensorsDType>;

/** The same names as text, for messages. */
export const safetensorsDtypes = Object.keys(safetensorsItemSize).join(', ');

/** Whether a name read from a file is one of ours (`U16`, `F8_E4M3`, ... are not). */
export function isSafetensorsDType(name: string): name is SafetensorsDType {
  return Object.hasOwn(safetensorsItemSize, name);
}

/** libtorch allows no more dimensions than this. */
export const maxDimensions = 64;

/**
 * Bytes of a dense tensor, or undefined when a size is not a natural number, there are too many
 * dimensions, or the product is not an exact integer any more.
 */
export function denseByteLength(
  shape: readonly number[],
  dtype: SafetensorsDType,
): number | undefined {
  if (shape.length > maxDimensions) return undefined;
  let bytes: number = safetensorsItemSize[dtype];
  for (const size of shape) {
    if (!Number.isSafeInteger(size) || size < 0) return undefined;
    bytes *= size;
    // Checked at every step: a later zero must not hide an overflow.
    if (!Number.isSafeInteger(bytes)) return undefined;
  }
  return bytes;
}
