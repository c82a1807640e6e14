// Weights that lie in a file while another form of them, which has fewer bits, is what is computed with.
import { crc32 } from 'node:zlib';
import { noGrad } from './autograd.js';
import { elementSize } from './dtype.js';
import { FormatError } from './errors.js';
import { empty } from './factories.js';
import { PrivateFile } from './files/private-file.js';
import { native } from './native.js';
import { pieceBuffer, pieceBytes } from './piece-buffer.js';
import { scope } from './scope.js';
import type { Tensor } from './tensor.js';
import { WeightValues } from './weight-values.js';

/**
 * Tensors whose values are in a file of the process alone (`PrivateFile`) until somebody asks for them: these are the same,
 * bit for bit. The file that a model came from would not do, since others may change it. Where there is no disk, or no room
 * on it, and where somebody else has a tensor or its memory, the tensor stays in memory.
 */
export class FiledWeights {
  readonly #places = new Map<Tensor, Place>();
  #file: PrivateFile | undefined;
  /** Where what is written next goes. */
  #end = 0;
  /** Whether there is no file, or it takes no more. */
  #isFull = false;

  /**
   * Puts those away that are in memory; at later calls those that were changed, and in time those that somebody looked at.
   * @param options - `atOnce`: these too. Default `false`
   */
  putAway(sources: readonly Tensor[], options: { readonly atOnce?: boolean } = {}): void {
    const present = sources.filter(({ isLent }) => !isLent).map((each) => WeightValues.of(each));
    if (present.length === 0) return;
    WeightValues.noticeChanges(present);
    for (const values of present) {
      const place = this.#places.get(values.tensor);
      if (!place?.isCurrent) this.#write(values, place);
      else if (options.atOnce === true || values.waitIsOver()) place.lend();
    }
  }

  /** The tensors have their values back, and the disk its room. */
  release(): void {
    for (const place of this.#places.values()) place.recall();
    this.#places.clear();
    this.#file?.close();
    this.#file = undefined;
    this.#end = 0;
    this.#isFull = false;
  }

  #write(values: WeightValues, before: Place | undefined): void {
    const { tensor } = values;
    if (this.#isFull || tensor.device !== 'cpu' || !tensor.isContiguous) return;
    const bytes = tensor.numel * elementSize(tensor.dtype);
    const file = (this.#file ??= PrivateFile.create());
    if (!file) {
      this.#isFull = true;
      return;
    }
    const position = before?.bytes === bytes ? before.position : this.#end;
    const place = new Place(values, file, position, bytes);
    try {
      place.write();
    } catch {
      // Most of all: no room on the disk.
      this.#isFull = true;
      return;
    }
    this.#end = Math.max(this.#end, position + bytes);
    this.#places.set(tensor, place);
    place.lend();
  }
}

/** Where in a file the values of a tensor are. */
class Place {
  readonly position: number;
  readonly bytes: number;
  readonly #values: WeightValues;
  readonly #file: PrivateFile;
  /** That of the values in the file. */
  #identity: object | undefined;
  #crc = 0;

  constructor(values: WeightValues, file: PrivateFile, position: number, bytes: number) {
    this.#values = values;
    this.#file = file;
    this.position = position;
    this.bytes = bytes;
  }

  get isCurrent(): boolean {
    return this.#identity === this.#values.identity;
  }

  write(): void {
    const { identity, tensor } = this.#values;
    let crc = 0;
    this.#inPieces(tensor, (piece, at, bytes) => {
      native.readInto(piece.handle, bytes);
      this.#file.write(bytes, this.position + at);
      crc = crc32(bytes, crc);
    });
    this.#crc = crc;
    this.#identity = identity;
  }

  lend(): void {
    const { shape, dtype } = this.#values.tensor;
    this.#values.lend(this, () =>
      scope(() => {
        const tensor = empty(shape, { dtype });
        this.#read(tensor);
        return tensor;
      }),
    );
  }

  recall(): void {
    if (this.#values.isLentBy(this)) this.#values.tensor.recall();
  }

  #read(tensor: Tensor): void {
    const what = 'The temporary file of the weights';
    let crc = 0;
    this.#inPieces(tensor, (piece, at, bytes) => {
      this.#file.read(this.position + at, bytes.length, bytes, what);
      crc = crc32(bytes, crc);
      piece.setValues(bytes);
    });
    if (crc !== this.#crc) {
      throw new FormatError(
        `${what} came back with other bytes than were written. The disk is damaged: load the model again, with TMPDIR ` +
          'on another disk.',
      );
    }
  }

  /** @param work - is given a part of the tensor, where it begins, and memory for its bytes */
  #inPieces(
    tensor: Tensor,
    work: (piece: Tensor, at: number, bytes: Uint8Array<ArrayBuffer>) => void,
  ): void {
    const size = elementSize(tensor.dtype);
    noGrad(() => {
      scope(() => {
        const flat = tensor.detach().view(-1);
        for (let at = 0; at < this.bytes; at += pieceBytes) {
          const length = Math.min(pieceBytes, this.bytes - at);
          scope(() => {
            const piece = flat.narrow(0, at / size, length / size);
            work(piece, at, pieceBuffer().subarray(0, length));
          });
        }
      });
    });
  }
}
