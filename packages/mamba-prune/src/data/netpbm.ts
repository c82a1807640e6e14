/**
 * PPM, PGM and PBM: a header in text, then the samples. sharp's libvips comes without its reader for them, and a
 * library would be longer than the format is. http://netpbm.sourceforge.net/doc/ppm.html
 */
import { halfToEven } from '../preparation/geometry.js';
import type { Picture } from '../preparation/prepare.js';
import { DataError } from './errors.js';

interface Header {
  /** 1 to 6: bits, grey and colour, as text and as bytes. */
  readonly kind: number;
  readonly width: number;
  readonly height: number;
  /** Value of white. */
  readonly most: number;
  /** Where the samples begin. */
  readonly start: number;
}

/** Numbers between blanks; a comment goes on to the end of its line. */
const field = /(?:\s|#[^\n\r]*[\n\r])+(\d+)/y;

/** @throws DataError with the reason */
export function netpbmHeader(bytes: Buffer): Header {
  // Headers are short, but for comments.
  const text = bytes.toString('latin1', 0, 64 * 1024);
  const kind = Number(text[1]);
  const hasMost = kind !== 1 && kind !== 4;
  const values: number[] = [];
  field.lastIndex = 2;
  for (let i = 0; i < (hasMost ? 3 : 2); i++) {
    const found = field.exec(text)?.[1];
    if (found === undefined) throw new DataError('its header is damaged: a number is missing');
    values.push(Number(found));
  }
  const [width = 0, height = 0, most = 1] = values;
  if (width < 1 || height < 1 || most < 1 || most > 65_535) {
    throw new DataError(
      `its header is damaged: got ${values.join(' ')} for width, height and white`,
    );
  }
  let at = 2;
  for (let i = 0; i < values.length; i++) {
    field.lastIndex = at;
    field.exec(text);
    at = field.lastIndex;
  }
  return { kind, width, height, most, start: at + 1 };
}

/** @throws DataError with the reason */
export function decodeNetpbm(bytes: Buffer): Picture {
  const { kind, width, height, most, start } = netpbmHeader(bytes);
  const channels = kind % 3 === 0 ? 3 : 1;
  const count = width * height * channels;
  const isBits = kind === 1 || kind === 4;
  if (kind === 4) return { ...unpackBits(bytes.subarray(start), width, height), width, height };
  const samples =
    kind < 4 ? fromText(bytes, start, count, isBits) : fromBytes(bytes, start, count, most);
  // As Pillow: black is 1 in bits; other values of white are scaled, and rounded.
  const data = Uint8Array.from(samples, (value) =>
    isBits
      ? 255 * (1 - value)
      : most === 255
        ? value
        : Math.min(255, halfToEven((value / most) * 255)),
  );
  return { data, width, height, channels };
}

function cutOff(got: number, expected: number): DataError {
  return new DataError(
    `the file is cut off: premature end, ${got} of ${expected} samples are there`,
  );
}

/** Rows begin with a byte of their own; the first pixel is the highest bit, and 1 is black. */
function unpackBits(
  bytes: Buffer,
  width: number,
  height: number,
): { readonly data: Uint8Array; readonly channels: 1 } {
  const line = Math.ceil(width / 8);
  if (bytes.length < line * height) throw cutOff(8 * bytes.length, 8 * line * height);
  const data = new Uint8Array(width * height);
  for (let i = 0; i < data.length; i++) {
    const [x, y] = [i % width, Math.floor(i / width)];
    const bit = ((bytes[y * line + (x >> 3)] as number) >> (7 - (x & 7))) & 1;
    data[i] = bit === 1 ? 0 : 255;
  }
  return { data, channels: 1 };
}

function fromBytes(bytes: Buffer, start: number, count: number, most: number): ArrayLike<number> {
  const wide = most > 255 ? 2 : 1;
  const part = bytes.subarray(start, start + count * wide);
  if (part.length < count * wide) throw cutOff(Math.floor(part.length / wide), count);
  if (wide === 1) return part;
  return Uint16Array.from({ length: count }, (_, i) => part.readUInt16BE(2 * i));
}

/** Bits may stand without blanks between them. */
function fromText(bytes: Buffer, start: number, count: number, isBits: boolean): Uint16Array {
  const samples = new Uint16Array(count);
  const token = isBits ? /[01]/y : /\d+/y;
  const between = /(?:\s|#[^\n\r]*[\n\r])*/y;
  const text = bytes.toString('latin1', start - 1);
  let at = 0;
  for (let i = 0; i < count; i++) {
    between.lastIndex = at;
    between.exec(text);
    token.lastIndex = between.lastIndex;
    const found = token.exec(text);
    if (!found) throw cutOff(i, count);
    samples[i] = Number(found[0]);
    at = token.lastIndex;
  }
  return samples;
}
