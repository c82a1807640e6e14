/**
 * The idx format of MNIST (LeCun, Cortes and Burges): two zero bytes, the element type (8: uint8), the number
 * of dimensions, each dimension as a big-endian uint32, then the elements. Plain or in gzip.
 */
import { gunzipSync } from 'node:zlib';
import { DataError, reasonOf } from './errors.js';
import { readWhole } from './read-whole.js';

const gzip = Buffer.from([0x1f, 0x8b]);

/**
 * The elements of a file.
 * @param shape - that it must have
 * @throws DataError with the reason, without the file's name; the system's error
 */
export function readIdx(path: string, shape: readonly number[]): Uint8Array {
  const head = 4 + 4 * shape.length;
  const elements = shape.reduce((product, n) => product * n, 1);
  // gzip makes nothing longer than by its head and a few bytes for each 16 kB.
  const bytes = unpacked(readWhole(path, 2 * (head + elements) + 1024), head + elements);
  const wanted = 0x0800 + shape.length;
  if (bytes.length < 4)
    throw new DataError(`it has ${bytes.length} bytes, expected ${head + elements}`);
  const magic = bytes.readUInt32BE(0);
  if (magic !== wanted) {
    throw new DataError(
      `it begins with the magic number 0x${hex(magic)}, expected 0x${hex(wanted)} (idx, uint8, ` +
        `${shape.length} ${shape.length === 1 ? 'dimension' : 'dimensions'})`,
    );
  }
  if (bytes.length < head)
    throw new DataError(`it has ${bytes.length} bytes, expected ${head + elements}`);
  const got = shape.map((_, i) => bytes.readUInt32BE(4 + 4 * i));
  if (got.some((n, i) => n !== shape[i])) {
    throw new DataError(`it has the shape [${got.join(', ')}], expected [${shape.join(', ')}]`);
  }
  if (bytes.length !== head + elements) {
    throw new DataError(`it has ${bytes.length} bytes, expected ${head + elements}`);
  }
  return bytes.subarray(head);
}

const hex = (n: number): string => n.toString(16).padStart(8, '0');

/** Checks gzip's own checksum too. */
function unpacked(bytes: Buffer, most: number): Buffer {
  if (!bytes.subarray(0, 2).equals(gzip)) return bytes;
  try {
    return gunzipSync(bytes, { maxOutputLength: most + 1 });
  } catch (error) {
    const isTooLong = error instanceof RangeError;
    const reason = isTooLong ? `more than the ${most} bytes that it may have` : reasonOf(error);
    throw new DataError(`it cannot be unpacked: ${reason}`, { cause: error });
  }
}
