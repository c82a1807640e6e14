/** Which files are pictures: by their names where folders are searched, by their content where they are read. */

export type ImageFormat = 'jpeg' | 'png' | 'webp' | 'gif' | 'bmp' | 'tiff' | 'ppm';

interface FormatFacts {
  readonly format: ImageFormat;
  readonly name: string;
  readonly endings: readonly string[];
}

/** Everything that is decoded. Of animations and of files with several pages it is the first picture. */
export const imageFormats: readonly FormatFacts[] = [
  { format: 'jpeg', name: 'JPEG', endings: ['jpg', 'jpeg', 'jpe', 'jfif'] },
  { format: 'png', name: 'PNG', endings: ['png'] },
  { format: 'webp', name: 'WebP', endings: ['webp'] },
  { format: 'gif', name: 'GIF', endings: ['gif'] },
  { format: 'bmp', name: 'BMP', endings: ['bmp'] },
  { format: 'tiff', name: 'TIFF', endings: ['tif', 'tiff'] },
  { format: 'ppm', name: 'PPM', endings: ['ppm', 'pgm', 'pbm', 'pnm'] },
];

/** `JPEG, PNG, WebP, GIF, BMP, TIFF or PPM` */
export const formatNames = imageFormats
  .map(({ name }) => name)
  .join(', ')
  .replace(/, (?=\w+$)/, ' or ');

/** How many bytes `formatOf` looks at. */
export const headBytes = 64;

/** Where a text stands in the first bytes, each a character of Latin-1. */
type Mark = readonly [at: number, text: string];

const signatures: readonly (readonly [ImageFormat, ...Mark[]])[] = [
  ['jpeg', [0, '\xff\xd8\xff']],
  ['png', [0, '\x89PNG\r\n\x1a\n']],
  ['webp', [0, 'RIFF'], [8, 'WEBP']],
  ['gif', [0, 'GIF87a']],
  ['gif', [0, 'GIF89a']],
  // The last two are BigTIFF.
  ...['II*\0', 'MM\0*', 'II+\0', 'MM\0+'].map((text): [ImageFormat, Mark] => ['tiff', [0, text]]),
  // Two letters are little: the size of the header that follows is one of those that there are.
  ...[12, 40, 52, 56, 64, 108, 124].map((size): [ImageFormat, Mark, Mark] => [
    ...(['bmp', [0, 'BM'], [14, `${String.fromCharCode(size)}\0\0\0`]] as const),
  ]),
];

const has = (text: string, marks: readonly Mark[]): boolean =>
  marks.every(([at, mark]) => text.startsWith(mark, at));

/** By the first bytes: names of files lie. */
export function formatOf(head: Buffer): ImageFormat | undefined {
  const text = head.toString('latin1', 0, headBytes);
  if (/^P[1-6][\s#]/.test(text)) return 'ppm';
  return signatures.find(([, ...marks]) => has(text, marks))?.[0];
}

const others: readonly (readonly [name: string, ...Mark[]])[] = [
  ...['avif', 'avis'].map((brand): [string, Mark] => ['an AVIF image', [4, `ftyp${brand}`]]),
  ...['heic', 'heix', 'heim', 'heis', 'hevc', 'hevx', 'mif1', 'msf1'].map(
    (brand): [string, Mark] => ['a HEIC image', [4, `ftyp${brand}`]],
  ),
  ['a JPEG XL image', [0, '\xff\x0a']],
  ['a JPEG XL image', [4, 'JXL ']],
  ['a JPEG 2000 image', [4, 'jP  ']],
  ['a JPEG 2000 image', [0, '\xff\x4f\xff\x51']],
  ['a Photoshop image', [0, '8BPS']],
  ['a PDF document', [0, '%PDF-']],
  ['a zip archive', [0, 'PK\x03\x04']],
];

/** Why a file is no picture that can be read. */
export function unreadable(head: Buffer): string {
  if (head.length === 0) return 'the file is empty';
  const text = head.toString('latin1', 0, headBytes);
  const found = others.find(([, ...marks]) => has(text, marks))?.[0] ?? markupOf(text);
  if (found !== undefined) return `got ${found}, expected ${formatNames}`;
  const isZeros = head.subarray(0, headBytes).every((byte) => byte === 0);
  const zeros = isZeros ? ': it begins with zeros' : '';
  return `unsupported image format${zeros}, expected ${formatNames}`;
}

function markupOf(text: string): string | undefined {
  if (/^(?:\xef\xbb\xbf)?\s*(?:<\?xml|<svg|<!DOCTYPE svg)/i.test(text)) return 'a svg image';
  return /^(?:\xef\xbb\xbf)?\s*(?:<!DOCTYPE html|<html)/i.test(text) ? 'an HTML page' : undefined;
}
