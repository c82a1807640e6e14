/**
 * TIFF files whose colours libvips takes for others: YCbCr that is not compressed as JPEG comes out of it as if it were
 * RGB, and what it says of the header is the same.
 */

const compressionTag = 259;
const photometricTag = 262;
const yCbCr = 6;
/** JPEG, the old way and the new one: libtiff makes RGB of these. */
const jpegs: readonly number[] = [6, 7];

/** @param bytes - a whole file. @returns why its colours are not read; undefined if they are, or if it is damaged */
export function tiffColourProblem(bytes: Buffer): string | undefined {
  const tags = shortTags(bytes);
  if (tags.get(photometricTag) !== yCbCr) return undefined;
  if (jpegs.includes(tags.get(compressionTag) ?? 1)) return undefined;
  return 'it is a TIFF in YCbCr that is not compressed as JPEG, which is not read. Save it in RGB';
}

/** Numbers of 16 bits in the first directory of a TIFF or BigTIFF, the first one of each tag. */
function shortTags(bytes: Buffer): ReadonlyMap<number, number> {
  const tags = new Map<number, number>();
  const isLittle = bytes[0] === 0x49;
  const short = (at: number): number =>
    isLittle ? bytes.readUInt16LE(at) : bytes.readUInt16BE(at);
  const long = (at: number): number => (isLittle ? bytes.readUInt32LE(at) : bytes.readUInt32BE(at));
  const wide = (at: number): number =>
    Number(isLittle ? bytes.readBigUInt64LE(at) : bytes.readBigUInt64BE(at));
  try {
    const isBig = short(2) === 43;
    const start = isBig ? wide(8) : long(4);
    const count = isBig ? wide(start) : short(start);
    const [first, entry, value] = isBig ? [start + 8, 20, 12] : [start + 2, 12, 8];
    for (let i = 0, at = first; i < count; i++, at += entry) {
      if (short(at + 2) === 3) tags.set(short(at), short(at + value));
    }
  } catch {
    // It ends before its directory does, which the decoder says.
  }
  return tags;
}
