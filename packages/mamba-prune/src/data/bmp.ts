/**
 * BMP files, as Pillow reads them. Own code: sharp's libvips has no reader for them; of the libraries fast-bmp (4.0)
 * knows neither palettes nor run lengths, and bmp-ts (1.0.9) gives other pixels than Pillow for 4 and 16 bits and for
 * run lengths.
 */
import type { Picture } from '../preparation/prepare.js';
import { DataError } from './errors.js';

interface Header {
  readonly width: number;
  readonly height: number;
  /** The first row is the lowest one, as a rule. */
  readonly isBottomUp: boolean;
  /** Bits of a pixel. */
  readonly depth: number;
  /** 0: none; 1 and 2: run lengths of 8 and 4 bits; 3: bit fields. */
  readonly compression: number;
  /** Blue, green, red and maybe a byte more for each colour. */
  readonly palette: Buffer;
  /** Bytes of a colour. */
  readonly entry: number;
  /** Where the pixels begin. */
  readonly start: number;
  /** Bits of red, green and blue within a pixel; of 16 and 32 bits. */
  readonly masks: readonly number[];
}

const usualMasks: Readonly<Record<number, readonly number[]>> = {
  16: [0x7c00, 0x3e0, 0x1f],
  32: [0xff0000, 0xff00, 0xff],
};

/** @throws DataError with the reason */
export function bmpHeader(bytes: Buffer): Header {
  const size = bytes.length < 18 ? 0 : bytes.readUInt32LE(14);
  // OS/2's has 12 bytes; the others begin with the same 40.
  const isOld = size === 12;
  const end = 14 + size;
  if (size < 12 || bytes.length < end) {
    throw new DataError('the file is cut off: premature end within its header');
  }
  const width = isOld ? bytes.readUInt16LE(18) : bytes.readInt32LE(18);
  const rows = isOld ? bytes.readUInt16LE(20) : bytes.readInt32LE(22);
  const depth = bytes.readUInt16LE(isOld ? 24 : 28);
  const compression = isOld ? 0 : bytes.readUInt32LE(30);
  const said = isOld ? 0 : bytes.readUInt32LE(46);
  const height = Math.abs(rows);
  const most = depth <= 8 ? 2 ** depth : 0;
  if (width < 1 || height < 1 || ![1, 4, 8, 16, 24, 32].includes(depth)) {
    throw new DataError(`its header is damaged: got ${width}x${height} pixels of ${depth} bits`);
  }
  // Run lengths are of 4 or 8 bits; 4 and 5 are whole JPEG and PNG files, for printers.
  const fits = [true, depth === 8, depth === 4, depth === 16 || depth === 32][compression];
  if (fits !== true) {
    throw new DataError(
      `got a BMP of ${depth} bits with compression ${compression}, expected none, run lengths or bit fields`,
    );
  }
  const hasMasks = compression === 3;
  if (hasMasks && bytes.length < 66) {
    throw new DataError('the file is cut off: premature end within its header');
  }
  const entry = isOld ? 3 : 4;
  const from = end + (hasMasks && size === 40 ? 12 : 0);
  const colours = said > 0 && said <= most ? said : most;
  const masks = hasMasks
    ? [54, 58, 62].map((at) => bytes.readUInt32LE(at))
    : (usualMasks[depth] ?? []);
  return {
    width,
    height,
    isBottomUp: rows > 0,
    depth,
    compression,
    palette: bytes.subarray(from, from + colours * entry),
    entry,
    start: bytes.readUInt32LE(10),
    masks,
  };
}

/** @throws DataError with the reason */
export function decodeBmp(bytes: Buffer): Picture {
  const header = bmpHeader(bytes);
  const { width, height, isBottomUp, depth, compression, start } = header;
  const pixels = bytes.subarray(start);
  const line = ((width * depth + 31) >>> 5) * 4;
  const isPacked = compression === 1 || compression === 2;
  if (!isPacked && pixels.length < line * height) {
    throw new DataError(
      `the file is cut off: premature end, ${pixels.length} of ${line * height} bytes of pixels are there`,
    );
  }
  const indices = isPacked ? runLengths(pixels, header) : undefined;
  const paint = indices
    ? fromPalette(header, (x, y) => indices[y * width + x] ?? 0)
    : painter(pixels, line, header);
  const data = new Uint8Array(3 * width * height);
  for (let y = 0, to = 0; y < height; y++) {
    const row = isBottomUp ? height - 1 - y : y;
    for (let x = 0; x < width; x++, to += 3) paint(data, to, x, row);
  }
  return { data, width, height, channels: 3 };
}

/** Writes red, green and blue of a pixel of the file at a place. */
type Painter = (data: Uint8Array, to: number, x: number, row: number) => void;

function painter(pixels: Buffer, line: number, header: Header): Painter {
  const { depth } = header;
  if (depth === 24) {
    return (data, to, x, row) => {
      const at = row * line + 3 * x;
      data[to] = pixels[at + 2] as number;
      data[to + 1] = pixels[at + 1] as number;
      data[to + 2] = pixels[at] as number;
    };
  }
  if (depth > 8) {
    const fields = header.masks.map(fieldOf);
    return (data, to, x, row) => {
      const at = row * line + (depth >> 3) * x;
      const value = depth === 16 ? pixels.readUInt16LE(at) : pixels.readUInt32LE(at);
      fields.forEach((field, channel) => (data[to + channel] = field(value)));
    };
  }
  const perByte = 8 / depth;
  return fromPalette(header, (x, row) => {
    const byte = pixels[row * line + Math.floor(x / perByte)] as number;
    return (byte >> (8 - depth * (1 + (x % perByte)))) & (2 ** depth - 1);
  });
}

/** The values of a mask's bits, brought to 0 to 255 and rounded down, as Pillow does it. */
function fieldOf(mask: number): (value: number) => number {
  if (mask === 0) return () => 0;
  const shift = 31 - Math.clz32(mask & -mask);
  const most = mask >>> shift;
  return (value) => Math.floor((((value & mask) >>> shift) * 255) / most);
}

/** Colours that the palette lacks are black. */
function fromPalette(
  { palette, entry }: Header,
  indexAt: (x: number, row: number) => number,
): Painter {
  return (data, to, x, row) => {
    const at = indexAt(x, row) * entry;
    data[to] = palette[at + 2] ?? 0;
    data[to + 1] = palette[at + 1] ?? 0;
    data[to + 2] = palette[at] ?? 0;
  };
}

/**
 * Pairs of a count and a value; after a count of 0 a mark: 0 ends a row, 1 the picture, 2 moves, and
 * others are a number of plain values. What is skipped is colour 0.
 * @returns [height, width] in the order of the file
 * @throws DataError if the bytes end before the pixels and no mark says that this is the end
 */
function runLengths(bytes: Buffer, { width, height, depth }: Header): Uint8Array {
  const out = new Uint8Array(width * height);
  const nibble = (byte: number, i: number): number => (i % 2 === 0 ? byte >> 4 : byte & 15);
  let [at, x, y] = [0, 0, 0];
  const put = (value: number): void => {
    if (x < width && y < height) out[y * width + x] = value;
    x++;
  };
  while (y < height && !(y === height - 1 && x >= width)) {
    const [count, value] = [bytes[at], bytes[at + 1]];
    if (count === undefined || value === undefined) {
      throw new DataError(`the file is cut off: premature end, ${y} of ${height} rows are there`);
    }
    at += 2;
    if (count > 0) {
      for (let i = 0; i < count; i++) put(depth === 4 ? nibble(value, i) : value);
    } else if (value === 0) [x, y] = [0, y + 1];
    else if (value === 1) break;
    else if (value === 2) {
      x += bytes[at] ?? 0;
      y += bytes[at + 1] ?? 0;
      at += 2;
    } else {
      const length = depth === 4 ? Math.ceil(value / 2) : value;
      if (at + length > bytes.length) {
        throw new DataError(`the file is cut off: premature end, ${y} of ${height} rows are there`);
      }
      for (let i = 0; i < value; i++) {
        const byte = bytes[at + (depth === 4 ? i >> 1 : i)] as number;
        put(depth === 4 ? nibble(byte, i) : byte);
      }
      // To a multiple of two bytes.
      at += length + (length % 2);
    }
  }
  return out;
}
