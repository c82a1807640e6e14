// How a picture is to be turned, read out of its EXIF data as Pillow reads it.

const orientationTag = 0x112;

/** TIFF's types that hold an integer, which count; one in a BYTE counts for neither Pillow nor browsers. */
const readers: Readonly<Record<number, (view: DataView, at: number, little: boolean) => number>> = {
  3: (view, at, little) => view.getUint16(at, little),
  4: (view, at, little) => view.getUint32(at, little),
  6: (view, at) => view.getInt8(at),
  8: (view, at, little) => view.getInt16(at, little),
  9: (view, at, little) => view.getInt32(at, little),
};

/**
 * @param bytes - a TIFF header and its first directory, behind `Exif` and two zeros in some files
 * @returns 1 to 8, as EXIF has it; undefined where there is none that counts
 */
export function exifOrientation(bytes: Uint8Array): number | undefined {
  const start = bytes[0] === 0x45 ? 6 : 0;
  if (bytes.byteLength < start + 8) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset + start, bytes.byteLength - start);
  const isLittle = view.getUint8(0) === 0x49;
  const directory = view.getUint32(4, isLittle);
  if (directory + 2 > view.byteLength) return undefined;
  const entries = view.getUint16(directory, isLittle);
  for (let i = 0; i < entries; i++) {
    const at = directory + 2 + 12 * i;
    if (at + 12 > view.byteLength) return undefined;
    if (view.getUint16(at, isLittle) !== orientationTag) continue;
    const value = readers[view.getUint16(at + 2, isLittle)]?.(view, at + 8, isLittle);
    return value !== undefined && value >= 1 && value <= 8 ? value : undefined;
  }
  return undefined;
}
