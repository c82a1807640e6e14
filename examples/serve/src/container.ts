// Where an image ends in its bytes. What stands behind that end is no image: a file that is two things at once
// (a picture and an archive, say) is refused, and so is one that was cut off.
import { badImage } from './errors.js';

export const imageTypes = ['image/jpeg', 'image/png', 'image/webp'] as const;
export type ImageType = (typeof imageTypes)[number];

const pngSignature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);

/** By the first bytes; undefined for everything else. */
export function sniff(bytes: Buffer): ImageType | undefined {
  if (bytes.subarray(0, 3).equals(Buffer.from([0xff, 0xd8, 0xff]))) return 'image/jpeg';
  if (bytes.subarray(0, 8).equals(pngSignature)) return 'image/png';
  const word = (at: number): string => bytes.toString('latin1', at, at + 4);
  return word(0) === 'RIFF' && word(8) === 'WEBP' ? 'image/webp' : undefined;
}

const ends: Record<ImageType, (bytes: Buffer) => number | undefined> = {
  'image/png': endOfPng,
  'image/jpeg': endOfJpeg,
  // The length of all that follows it, padded to an even number.
  'image/webp': (bytes) => 8 + 2 * Math.ceil(bytes.readUInt32LE(4) / 2),
};

/** @throws HttpError 422 if the image ends before its end mark, or something follows it */
export function checkEnd(bytes: Buffer, type: ImageType): void {
  const end = ends[type](bytes);
  if (end === undefined || end > bytes.length) {
    throw badImage('truncated', 'The image is cut off: its end is missing.');
  }
  const rest = bytes.subarray(end);
  // Some programs fill up with zeros.
  if (rest.some((byte) => byte !== 0)) {
    throw badImage(
      'trailing_data',
      `${rest.length} bytes follow the end of the image. Save it anew as a plain image.`,
    );
  }
}

/** Chunks: length, name, content, checksum. */
function endOfPng(bytes: Buffer): number | undefined {
  let at = pngSignature.length;
  while (at + 12 <= bytes.length) {
    const name = bytes.toString('latin1', at + 4, at + 8);
    at += bytes.readUInt32BE(at) + 12;
    if (name === 'IEND') return at;
  }
  return undefined;
}

/** Segments with a length; after the start of a scan, compressed data up to the next marker. */
function endOfJpeg(bytes: Buffer): number | undefined {
  let at = 2;
  for (;;) {
    at = bytes.indexOf(0xff, at);
    if (at < 0 || at + 1 >= bytes.length) return undefined;
    const marker = bytes[at + 1] ?? 0;
    if (marker === 0xd9) return at + 2;
    // FF is filling; 00 is an escaped FF within a scan; 01 and D0 to D7 have no content.
    if (marker === 0xff) at += 1;
    else if (marker <= 0x01 || (marker >= 0xd0 && marker <= 0xd7)) at += 2;
    else if (at + 4 > bytes.length) return undefined;
    else at += 2 + bytes.readUInt16BE(at + 2);
  }
}
