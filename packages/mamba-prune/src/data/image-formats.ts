/** Which files are pictures: by their names where folders are searched, by their content where they are read. */

export type ImageFormat = 'jpeg' | 'png' | 'webp' | 'gif' | 'bmp' | 'tiff' | 'ppm';

interface FormatFacts {
  readonly format: ImageFormat;
  readonly name: string;
  readonly endings: readonly string[];
}

/** Everything that is decoded. Of animations and of files with several pages it is the first picture. */
export const IMAGE_FORMATS: readonly FormatFacts[] = [
  { format: 'jpeg', name: 'JPEG', endings: ['jpg', 'jpeg', 'jpe', 'jfif'] },
  { format: 'png', name: 'PNG', endings: ['png'] },
  { format: 'webp', name: 'WebP', endings: ['webp'] },
  { format: 'gif', name: 'GIF', endings: ['gif'] },
  { format: 'bmp', name: 'BMP', endings: ['bmp'] },
  { format: 'tiff', name: 'TIFF', endings: ['tif', 'tiff'] },
  { format: 'ppm', name: 'PPM', endings: ['ppm', 'pgm', 'pbm', 'pnm'] },
];

/** `JPEG, PNG, WebP, GIF, BMP, TIFF or PPM` */
export const formatNames = IMAGE_FORMATS.map(({ name }) => name)
  .join(', ')
  .replace(/, (?=\w+$)/, ' or ');

/** How many bytes `formatOf` looks at. */
export const headBytes = 64;

const signatures: readonly (readonly [ImageFormat, RegExp])[] = [
  ['jpeg', /^\xff\xd8\xff/],
  ['png', /^\x89PNG\r\n\x1a\n/],
  ['webp', /^RIFF[^]{4}WEBP/],
  ['gif', /^GIF8[79]a/],
  ['tiff', /^(?:II[*+]\0|MM\0[*+])/],
  ['ppm', /^P[1-6][\s#]/],
  // Two letters are little: the size of the header that follows is one of those that there are.
  ['bmp', /^BM[^]{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0/],
];

/** By the first bytes: names of files lie. */
export function formatOf(head: Buffer): ImageFormat | undefined {
  const text = head.toString('latin1', 0, headBytes);
  return signatures.find(([, pattern]) => pattern.test(text))?.[0];
}

const others: readonly (readonly [name: string, pattern: RegExp])[] = [
  ['an AVIF image', /^[^]{4}ftyp(?:avif|avis)/],
  ['a HEIC image', /^[^]{4}ftyp(?:hei[cxms]|hev[cx]|mif1|msf1)/],
  ['a JPEG XL image', /^(?:\xff\x0a|\0\0\0\x0cJXL )/],
  ['a JPEG 2000 image', /^(?:\0\0\0\x0cjP {2}|\xff\x4f\xff\x51)/],
  ['a Photoshop image', /^8BPS/],
  ['a PDF document', /^%PDF-/],
  ['a svg image', /^(?:\xef\xbb\xbf)?\s*(?:<\?xml|<svg|<!DOCTYPE svg)/i],
  ['an HTML page', /^(?:\xef\xbb\xbf)?\s*(?:<!DOCTYPE html|<html)/i],
  ['a zip archive', /^PK\x03\x04/],
];

/** Why a file is no picture that can be read. */
export function unreadable(head: Buffer): string {
  if (head.length === 0) return 'the file is empty';
  const text = head.toString('latin1', 0, headBytes);
  if (/^\0+$/.test(text)) {
    return `unsupported image format: it begins with zeros, expected ${formatNames}`;
  }
  const found = others.find(([, pattern]) => pattern.test(text))?.[0];
  return found === undefined
    ? `unsupported image format, expected ${formatNames}`
    : `got ${found}, expected ${formatNames}`;
}
