/**
 * What can be seen of damage without decoding: where the parts of a file begin and end, and their checksums.
 * libvips' own words on this are few ("libpng read error").
 */
import { crc32 } from 'node:zlib';
import type { ImageFormat } from './image-formats.js';

/** Bytes of a file, in memory or not. */
export interface ByteSource {
  readonly length: number;
  /** Fewer at the end of the file. */
  read(at: number, length: number): Buffer | Promise<Buffer>;
}

export const bytesOf = (bytes: Buffer): ByteSource => ({
  length: bytes.length,
  read: (at, length) => bytes.subarray(at, at + length),
});

/**
 * The reason why a file is damaged; undefined if nothing is seen. `isCertain` says that no decoder gives all
 * of its pixels.
 */
export interface Damage {
  readonly reason: string;
  readonly isCertain: boolean;
}

export async function damageOf(
  source: ByteSource,
  format: ImageFormat,
): Promise<Damage | undefined> {
  if (format === 'jpeg') return jpegDamage(source);
  if (format === 'png') return pngDamage(source);
  if (format === 'webp') return webpDamage(source);
  return undefined;
}

export interface JpegParts {
  /** Colour channels; 0 where the header does not come so far. */
  readonly components: number;
  /** Where the first compressed pixels begin, behind all thumbnails; undefined where they are missing. */
  readonly scan: number | undefined;
}

/** Segments with a length each, up to the first scan. @param bytes - the beginning of the file, or all of it */
export function jpegParts(bytes: Buffer): JpegParts {
  let components = 0;
  let at = 2;
  for (;;) {
    at = bytes.indexOf(0xff, at);
    const marker = bytes[at + 1];
    if (at < 0 || marker === undefined) break;
    // FF fills up; 01, and D0 to D8, have no content.
    if (marker === 0xff) at++;
    else if (marker <= 0x01 || (marker >= 0xd0 && marker <= 0xd8)) at += 2;
    else if (marker === 0xd9) break;
    else {
      const length = at + 4 <= bytes.length ? bytes.readUInt16BE(at + 2) : 0;
      // All frame headers; C4, C8 and CC are tables.
      if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker)) {
        components = bytes[at + 9] ?? 0;
      }
      if (marker === 0xda && length >= 2) return { components, scan: at };
      if (length < 2) break;
      at += 2 + length;
    }
  }
  return { components, scan: undefined };
}

const jpegEnd = Buffer.from([0xff, 0xd9]);
const step = 64 * 1024;
/** Some programs append a few bytes. */
const tailBytes = 4096;

/**
 * A JPEG ends with an end mark. That of a thumbnail stands before the first scan: found there, it says nothing.
 * Bytes missing within are for the decoder to find.
 */
async function jpegDamage(source: ByteSource): Promise<Damage | undefined> {
  let parts: JpegParts | undefined;
  // As a rule the header is in the first piece.
  for (let length = step; ; length *= 4) {
    parts = jpegParts(await source.read(0, length));
    if (parts.scan !== undefined || length >= source.length) break;
  }
  if (parts.scan === undefined) {
    return { reason: 'the file is cut off: it ends before its pixels', isCertain: true };
  }
  const from = Math.max(parts.scan, source.length - tailBytes);
  const tail = await source.read(from, source.length - from);
  if (tail.includes(jpegEnd)) return undefined;
  return { reason: 'the file is cut off: premature end, without its end mark', isCertain: false };
}

/** Whether the end mark of the picture is there, behind its first scan. */
export function hasJpegEnd(bytes: Buffer, { scan }: JpegParts): boolean {
  return scan !== undefined && bytes.lastIndexOf(jpegEnd) > scan;
}

export const withJpegEnd = (bytes: Buffer): Buffer => Buffer.concat([bytes, jpegEnd]);

/** Chunks: length, name, content, checksum. In a name, a capital first letter says that a decoder needs it. */
async function pngDamage(source: ByteSource): Promise<Damage | undefined> {
  let at = 8;
  while (at < source.length) {
    const head = await source.read(at, 8);
    if (head.length < 8) break;
    const length = head.readUInt32BE(0);
    const name = head.toString('latin1', 4);
    if (!/^[A-Za-z]{4}$/.test(name)) {
      return {
        reason: `it is damaged at byte ${at}, where a chunk should begin`,
        isCertain: false,
      };
    }
    const end = at + 8 + length;
    if (end + 4 > source.length) {
      return {
        reason: `the file is cut off: premature end within its ${name} chunk, ${source.length} of at least ${end + 4} bytes are there`,
        isCertain: false,
      };
    }
    let sum = crc32(head.subarray(4));
    for (let from = at + 8; from < end; from += step) {
      sum = crc32(await source.read(from, Math.min(step, end - from)), sum);
    }
    const said = (await source.read(end, 4)).readUInt32BE(0);
    if (sum !== said && /^[A-Z]/.test(name)) {
      return {
        reason: `it is damaged: the checksum (CRC) of its ${name} chunk at byte ${at} is wrong`,
        isCertain: true,
      };
    }
    if (name === 'IEND') return undefined;
    at = end + 4;
  }
  return {
    reason: 'the file is cut off: premature end, its last chunk is missing',
    isCertain: false,
  };
}

/** RIFF: the header has the length of all that follows. */
async function webpDamage(source: ByteSource): Promise<Damage | undefined> {
  const head = await source.read(0, 12);
  const length = head.length < 12 ? Infinity : head.readUInt32LE(4) + 8;
  if (length <= source.length) return undefined;
  return {
    reason: `the file is cut off: premature end, ${source.length} of ${length} bytes are there`,
    isCertain: false,
  };
}
