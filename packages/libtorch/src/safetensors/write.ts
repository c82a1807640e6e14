// Writing safetensors files. The bytes of the file are a function of the entries and the metadata in
// the order given, so equal models make equal files.
import { FormatError } from '../errors.js';
import { writeFileAtomic, writeFully } from '../files/atomic.js';
import {
  denseByteLength,
  isSafetensorsDType,
  safetensorsDtypes,
  type SafetensorsDType,
} from './dtype.js';
import { maxHeaderBytes, metadataKey, quoted } from './header.js';

/**
 * One tensor to write. A function as `data` is called when its turn comes, so one tensor is in memory at a
 * time, or with pieces only a part of one.
 */
export interface SafetensorsEntry {
  readonly name: string;
  readonly dtype: SafetensorsDType;
  readonly shape: readonly number[];
  readonly data: Uint8Array | (() => Uint8Array | Iterable<Uint8Array>);
}

/** The format wants the data to begin at a multiple of 8, so that a mapped file can be used in place. */
const alignment = 8;

/**
 * Writes a file atomically: whatever fails, the old file stays as it was.
 *
 * Entries are written in the order given. Put larger element types first if other programs should map
 * the file (ours copies, so any order is read).
 *
 * @param entries - bytes are row-major and little-endian
 * @param metadata - free text stored in the header; strings only
 * @throws FormatError on equal names, the reserved name `__metadata__`, bytes that do not fit shape and
 *   dtype, text that is not valid Unicode, or a header over 100 MB; the system's error if writing fails
 */
export function writeSafetensorsFile(
  path: string,
  entries: Iterable<SafetensorsEntry>,
  metadata: Readonly<Record<string, string>> = {},
): void {
  const where = `writeSafetensors "${path}"`;
  const list = [...entries];
  const header = encodeHeader(list, metadata, where);
  writeFileAtomic(path, (fd) => {
    writeFully(fd, header);
    for (const entry of list) {
      const data = typeof entry.data === 'function' ? entry.data() : entry.data;
      let written = 0;
      for (const piece of data instanceof Uint8Array ? [data] : data) {
        writeFully(fd, piece);
        written += piece.byteLength;
      }
      // What was written is thrown away with the temporary file.
      checkLength(entry, written, where);
    }
  });
}

/**
 * Length of the file that `writeSafetensorsFile` would write, in bytes; nothing is written.
 * @throws FormatError as `writeSafetensorsFile`, but for bytes that do not fit
 */
export function safetensorsBytes(
  entries: Iterable<Omit<SafetensorsEntry, 'data'>>,
  metadata: Readonly<Record<string, string>> = {},
): number {
  const where = 'safetensorsBytes';
  const list = Array.from(entries, (entry) => ({ ...entry, data: () => [] }));
  const data = list.reduce((sum, entry) => sum + byteLengthOf(entry, where), 0);
  return encodeHeader(list, metadata, where).byteLength + data;
}

function encodeHeader(
  entries: readonly SafetensorsEntry[],
  metadata: Readonly<Record<string, string>>,
  where: string,
): Uint8Array {
  // Put together by hand: an object would move names like "0" to the front.
  const parts: string[] = [];
  const text = Object.entries(metadata).map(([key, value]: [string, unknown]) => {
    if (typeof value !== 'string') {
      throw new FormatError(
        `${where}: metadata ${quoted(key)} is a ${value === null ? 'null' : typeof value}, expected a string. ` +
          'Use JSON.stringify for anything else.',
      );
    }
    return `${encodeString(key, where)}:${encodeString(value, where)}`;
  });
  if (text.length > 0) parts.push(`"${metadataKey}":{${text.join(',')}}`);

  const names = new Set<string>();
  let offset = 0;
  for (const entry of entries) {
    const { name, dtype, shape } = entry;
    if (names.has(name) || name === metadataKey) {
      throw new FormatError(
        `${where}: got the tensor name ${quoted(name)} ` +
          `${name === metadataKey ? 'which the format reserves' : 'twice'}, expected a name of its own.`,
      );
    }
    names.add(name);
    const end = offset + byteLengthOf(entry, where);
    if (typeof entry.data !== 'function') checkLength(entry, entry.data.byteLength, where);
    parts.push(
      `${encodeString(name, where)}:{"dtype":"${dtype}","shape":[${shape.join(',')}],` +
        `"data_offsets":[${offset},${end}]}`,
    );
    offset = end;
  }

  const json = Buffer.from(`{${parts.join(',')}}`);
  const padding = (alignment - (json.byteLength % alignment)) % alignment;
  const headerBytes = json.byteLength + padding;
  if (headerBytes > maxHeaderBytes) {
    throw new FormatError(
      `${where}: got a header of ${headerBytes} bytes, expected at most ${maxHeaderBytes}. ` +
        'Shorten the metadata.',
    );
  }
  const header = Buffer.alloc(8 + headerBytes, ' ');
  header.writeBigUInt64LE(BigInt(headerBytes), 0);
  json.copy(header, 8);
  return header;
}

function byteLengthOf(
  { name, dtype, shape }: Omit<SafetensorsEntry, 'data'>,
  where: string,
): number {
  if (!isSafetensorsDType(dtype)) {
    throw new FormatError(
      `${where}: tensor ${quoted(name)} has dtype ${quoted(String(dtype))}, ` +
        `expected one of ${safetensorsDtypes}.`,
    );
  }
  const byteLength = denseByteLength(shape, dtype);
  if (byteLength === undefined) {
    throw new FormatError(
      `${where}: tensor ${quoted(name)} has shape [${shape.join(', ')}], ` +
        'expected at most 64 integers of at least 0.',
    );
  }
  return byteLength;
}

function checkLength(entry: SafetensorsEntry, got: number, where: string): void {
  const expected = byteLengthOf(entry, where);
  if (got !== expected) {
    throw new FormatError(
      `${where}: tensor ${quoted(entry.name)} has ${got} bytes, ` +
        `expected ${expected} for ${entry.dtype} [${entry.shape.join(', ')}].`,
    );
  }
}

/** JSON of a text; a lone half of a surrogate pair is no Unicode, and other readers refuse the file. */
function encodeString(value: string, where: string): string {
  if (/\p{Cs}/u.test(value)) {
    throw new FormatError(
      `${where}: ${quoted(value)} contains half a surrogate pair, expected valid Unicode.`,
    );
  }
  return JSON.stringify(value);
}
