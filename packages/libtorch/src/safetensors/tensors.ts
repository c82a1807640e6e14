// Tensors to and from files in pieces: a tensor may be larger than what one buffer of Node.js holds
// (4 GiB in version 20), and a large one should not be in memory twice.
import { noGrad } from '../autograd.js';
import { type DType, elementSize } from '../dtype.js';
import { empty, fromTypedArray } from '../factories.js';
import { pieceBuffer, pieceBytes as readBytes } from '../piece-buffer.js';
import { scope } from '../scope.js';
import type { Tensor } from '../tensor.js';
import { type SafetensorsDType, safetensorsDTypes } from './dtype.js';
import type { SafetensorsFile } from './read.js';

/** What is written at a time. A multiple of every element's size. */
const defaultPieceBytes = 64 * 1024 ** 2;

/** Up to so many bytes a tensor is made by one call, as other calls would take longer than its bytes. */
const smallBytes = 4096;

/** Element types by their names in files. */
export const fromFile = Object.fromEntries(
  Object.entries(safetensorsDTypes).map(([dtype, name]) => [name, dtype]),
) as Record<SafetensorsDType, DType>;

/**
 * One tensor of an open file, read into its own memory.
 * @param pieceBytes - read at a time, no more than it is by default; a multiple of 8
 * @throws FormatError if the file has no such tensor or was cut short meanwhile
 */
export function readTensor(
  file: SafetensorsFile,
  name: string,
  device?: string,
  pieceBytes = readBytes,
): Tensor {
  const { dtype: stored, shape, byteLength } = file.info(name);
  const dtype = fromFile[stored];
  const size = elementSize(dtype);
  if (byteLength <= Math.min(pieceBytes, smallBytes)) {
    return fromTypedArray(file.read(name), shape, { dtype, device });
  }
  const most = Math.min(pieceBytes, readBytes);
  // On the way to a GPU a copy is made here: it goes with the scope.
  return scope(() => {
    const tensor = empty(shape, { dtype });
    const flat = tensor.view(-1);
    for (let at = 0; at < byteLength; at += most) {
      const length = Math.min(most, byteLength - at);
      const piece = file.read(name, { start: at, length }, pieceBuffer());
      scope(() => {
        flat.narrow(0, at / size, length / size).setValues(piece);
      });
    }
    return device === undefined ? tensor : tensor.to(device);
  });
}

/**
 * The bytes of a tensor on any device, row-major, in pieces that are made when they are asked for.
 * @param pieceBytes - at most so many at a time; a multiple of 8
 */
export function* tensorPieces(
  tensor: Tensor,
  pieceBytes = defaultPieceBytes,
): Generator<Uint8Array> {
  const size = elementSize(tensor.dtype);
  if (tensor.numel * size <= pieceBytes) {
    yield bytesOf(tensor);
    return;
  }
  // A view where the values lie one behind the other, else a copy.
  const flat = scope(() => noGrad(() => tensor.detach().reshape(-1)));
  try {
    const most = pieceBytes / size;
    for (let at = 0; at < flat.numel; at += most) {
      yield scope(() => bytesOf(flat.narrow(0, at, Math.min(most, flat.numel - at))));
    }
  } finally {
    flat.dispose();
  }
}

function bytesOf(tensor: Tensor): Uint8Array {
  const values = tensor.toTypedArray();
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}
