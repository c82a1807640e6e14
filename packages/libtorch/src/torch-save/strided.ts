// Copying strided elements into row-major order, on raw bytes.

type Words = Uint8Array | Uint16Array | Uint32Array;

/** Whether elements already lie one behind the other in row-major order. The tensor is not empty. */
export function isRowMajor(shape: readonly number[], strides: readonly number[]): boolean {
  let expected = 1;
  for (let i = shape.length - 1; i >= 0; i -= 1) {
    const size = shape[i] ?? 1;
    if (size === 1) continue; // Its stride is never used.
    if (strides[i] !== expected) return false;
    expected *= size;
  }
  return true;
}

/**
 * @param span - bytes from the tensor's first element on, aligned to itemSize
 * @param strides - in elements, at least 0; the caller has checked that all elements lie in the span
 * @param itemSize - 1, 2, 4 or 8
 * @returns the elements of a non-empty tensor, row-major
 */
export function copyStrided(
  span: Uint8Array<ArrayBuffer>,
  shape: readonly number[],
  strides: readonly number[],
  itemSize: number,
): Uint8Array<ArrayBuffer> {
  if (itemSize === 8) {
    // Two 4-byte words: a float64 copy could change NaN payloads, and BigInt elements are slow.
    return copyStrided(span, [...shape, 2], [...strides.map((stride) => stride * 2), 1], 4);
  }
  const bytes = new Uint8Array(shape.reduce((a, b) => a * b, 1) * itemSize);
  const source = words(span, itemSize);
  const target = words(bytes, itemSize);

  // Dimensions of size 1 do not matter; the last that does becomes the inner loop.
  const dims = shape.map((size, i) => ({ size, stride: strides[i] ?? 0 }));
  const moving = dims.filter(({ size }) => size > 1);
  const inner = moving.pop() ?? { size: 1, stride: 0 };
  const counter = new Array<number>(moving.length).fill(0);
  let base = 0;
  for (let at = 0; at < target.length;) {
    for (let k = 0, from = base; k < inner.size; k += 1, from += inner.stride) {
      target[at++] = source[from] ?? 0;
    }
    // Counts up like an odometer, the last of the outer dimensions first.
    for (let d = moving.length - 1; d >= 0; d -= 1) {
      const { size, stride } = moving[d] ?? { size: 1, stride: 0 };
      const next = (counter[d] ?? 0) + 1;
      if (next < size) {
        counter[d] = next;
        base += stride;
        break;
      }
      counter[d] = 0;
      base -= (size - 1) * stride;
    }
  }
  return bytes;
}

function words(bytes: Uint8Array<ArrayBuffer>, itemSize: number): Words {
  const length = bytes.byteLength / itemSize;
  if (itemSize === 4) return new Uint32Array(bytes.buffer, bytes.byteOffset, length);
  if (itemSize === 2) return new Uint16Array(bytes.buffer, bytes.byteOffset, length);
  return bytes;
}
