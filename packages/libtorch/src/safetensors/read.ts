// Reading safetensors files (https://github.com/huggingface/safetensors): 8 bytes header length
// (little-endian), a JSON header, and the tensors' bytes one behind the other.
//
// The checks are those of the reference implementation (`SafeTensors::read_metadata`): the header has
// at most 100 MB, offsets tile the data without hole or overlap, lengths follow from shape and dtype.
import { closeSync } from 'node:fs';
import { FormatError } from '../errors.js';
import { kindOfFile } from '../files/kind.js';
import { openRegularFile, readExactly } from '../files/read.js';
import {
  denseByteLength,
  isSafetensorsDType,
  safetensorsDtypes,
  type SafetensorsDType,
} from './dtype.js';
import { type DeclaredTensor, maxHeaderBytes, parseHeader, quoted } from './header.js';

/** Length of the header's length. */
const prefixBytes = 8;

export interface SafetensorsInfo {
  readonly dtype: SafetensorsDType;
  readonly shape: readonly number[];
  readonly byteLength: number;
}

/** One tensor as plain bytes: row-major, little-endian. */
export interface RawTensor {
  readonly name: string;
  readonly dtype: SafetensorsDType;
  readonly shape: readonly number[];
  readonly data: Uint8Array;
}

interface Located extends SafetensorsInfo {
  /** Where the tensor's bytes begin, from the start of the file. */
  readonly position: number;
}

/**
 * An open safetensors file. The header is read and checked when it is opened, tensors when they are
 * asked for, so a file larger than the memory is no problem. Close it when done.
 */
export class SafetensorsFile {
  readonly path: string;
  /** The file's free text, {} if it has none. */
  readonly metadata: Readonly<Record<string, string>>;
  readonly #tensors: ReadonlyMap<string, Located>;
  #fd: number | undefined;

  private constructor(
    path: string,
    metadata: Readonly<Record<string, string>>,
    tensors: ReadonlyMap<string, Located>,
    fd: number | undefined,
  ) {
    this.path = path;
    this.metadata = metadata;
    this.#tensors = tensors;
    this.#fd = fd;
  }

  /**
   * @throws FormatError if the file is not valid safetensors or has an element type that we do not read
   * @throws the system's error (ENOENT, EACCES, ...) if it cannot be opened
   */
  static open(path: string): SafetensorsFile {
    const where = `readSafetensors "${path}"`;
    const { fd, size } = openRegularFile(path, where);
    try {
      refuseOtherFormats(fd, size, where);
      const { metadata, tensors } = readLayout(fd, size, where);
      return new SafetensorsFile(path, metadata, tensors, fd);
    } catch (error) {
      closeSync(fd);
      throw error;
    }
  }

  /** Names in the order of their bytes in the file. */
  names(): string[] {
    return [...this.#tensors.keys()];
  }

  has(name: string): boolean {
    return this.#tensors.has(name);
  }

  /** @throws FormatError if the file has no such tensor */
  info(name: string): SafetensorsInfo {
    const { dtype, shape, byteLength } = this.#locate(name);
    return { dtype, shape: [...shape], byteLength };
  }

  /**
   * The bytes of one tensor, or of a part of it, in memory of their own (so aligned for any element type).
   *
   * @param part - in bytes; the caller keeps it within the tensor
   * @param into - memory that is read into instead, at least so many bytes
   * @throws FormatError if the file has no such tensor, is closed, or was cut short meanwhile
   */
  read(
    name: string,
    part?: { readonly start: number; readonly length: number },
    into?: Uint8Array<ArrayBuffer>,
  ): Uint8Array<ArrayBuffer> {
    const { position, byteLength } = this.#locate(name);
    const what = (): string => `readSafetensors "${this.path}", tensor ${quoted(name)}`;
    if (this.#fd === undefined) {
      throw new FormatError(`${what()}: the file is closed. Read before close().`);
    }
    const { start, length } = part ?? { start: 0, length: byteLength };
    return readExactly(this.#fd, position + start, length, what, into);
  }

  /** Frees the file descriptor; a second call does nothing. */
  close(): void {
    if (this.#fd === undefined) return;
    closeSync(this.#fd);
    this.#fd = undefined;
  }

  #locate(name: string): Located {
    const found = this.#tensors.get(name);
    if (found === undefined) {
      const known = this.names().slice(0, 8).map(quoted).join(', ');
      throw new FormatError(
        `readSafetensors "${this.path}": no tensor ${quoted(name)}; the file has ` +
          `${this.#tensors.size}${known === '' ? '' : `: ${known}`}${this.#tensors.size > 8 ? ', ...' : ''}.`,
      );
    }
    return found;
  }
}

/** Reads a whole file at once: all tensors in memory, in file order, and the metadata. */
export function readSafetensorsFile(path: string): {
  tensors: RawTensor[];
  metadata: Record<string, string>;
} {
  const file = SafetensorsFile.open(path);
  try {
    const tensors = file.names().map((name) => {
      const { dtype, shape } = file.info(name);
      return { name, dtype, shape, data: file.read(name) };
    });
    return { tensors, metadata: { ...file.metadata } };
  } finally {
    file.close();
  }
}

/** @throws FormatError naming what the file is, if that is known and something else */
function refuseOtherFormats(fd: number, size: number, where: string): void {
  const { format, what, advice } = kindOfFile(fd, size, where);
  if (format === 'safetensors' || format === 'unknown') return;
  throw new FormatError(`${where}: got ${what}, which is not safetensors. ${advice}`);
}

function readLayout(
  fd: number,
  size: number,
  where: string,
): { metadata: Record<string, string>; tensors: Map<string, Located> } {
  if (size < prefixBytes) {
    throw new FormatError(
      `${where}: got ${size} bytes, expected at least ${prefixBytes}. The file is truncated or not safetensors.`,
    );
  }
  const prefix = readExactly(fd, 0, prefixBytes, where);
  const headerBytes = new DataView(prefix.buffer).getBigUint64(0, true);
  if (headerBytes > maxHeaderBytes) {
    throw new FormatError(
      `${where}: got a header of ${headerBytes} bytes, expected at most ${maxHeaderBytes}. ` +
        'The file is not safetensors (or is damaged).',
    );
  }
  const dataStart = prefixBytes + Number(headerBytes);
  if (dataStart > size) {
    throw new FormatError(
      `${where}: got ${size} bytes, expected at least ${dataStart} (a header of ${headerBytes} bytes). ` +
        'The file is truncated; copy it again.',
    );
  }
  const header = parseHeader(
    decode(readExactly(fd, prefixBytes, Number(headerBytes), where), where),
    where,
  );
  return {
    // fromEntries defines keys, so a metadata key `__proto__` stays an ordinary one.
    metadata: Object.fromEntries(header.metadata),
    tensors: locateTensors(header.tensors, dataStart, size, where),
  };
}

function decode(bytes: Uint8Array, where: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new FormatError(
      `${where}: the header is not UTF-8 text. The file is damaged or not safetensors.`,
    );
  }
}

/** Checks every declared tensor, and that together they cover the data exactly; sorted by position. */
function locateTensors(
  declared: Map<string, DeclaredTensor>,
  dataStart: number,
  fileSize: number,
  where: string,
): Map<string, Located> {
  const sorted = [...declared].sort(([, a], [, b]) => a.begin - b.begin || a.end - b.end);
  const located = new Map<string, Located>();
  let covered = 0;
  for (const [name, tensor] of sorted) {
    const what = (): string => `${where}: tensor ${quoted(name)}`;
    const { dtype, shape, begin, end } = tensor;
    if (!isSafetensorsDType(dtype)) {
      throw new FormatError(
        `${what()}: got dtype ${quoted(dtype)}, expected one of ${safetensorsDtypes}. ` +
          'Convert the tensor before saving it.',
      );
    }
    const byteLength = denseByteLength(shape, dtype);
    if (byteLength === undefined) {
      throw new FormatError(
        `${what()}: got shape [${shape.join(', ')}], expected fewer than 2^53 bytes.`,
      );
    }
    if (end - begin !== byteLength) {
      throw new FormatError(
        `${what()}: got data_offsets [${begin}, ${end}] = ${end - begin} bytes, ` +
          `expected ${byteLength} bytes for ${dtype} [${shape.join(', ')}]. The file is damaged.`,
      );
    }
    if (begin !== covered) {
      throw new FormatError(
        `${what()}: got data_offsets beginning at ${begin}, expected ${covered}: ` +
          `${begin < covered ? 'tensors overlap' : 'bytes belong to no tensor'}. The file is damaged.`,
      );
    }
    covered = end;
    located.set(name, { dtype, shape, byteLength, position: dataStart + begin });
  }
  if (dataStart + covered !== fileSize) {
    throw new FormatError(
      `${where}: got ${fileSize} bytes, expected ${dataStart + covered}: ` +
        (dataStart + covered > fileSize
          ? 'the file is truncated; copy it again.'
          : 'bytes behind the last tensor belong to none.'),
    );
  }
  return located;
}
