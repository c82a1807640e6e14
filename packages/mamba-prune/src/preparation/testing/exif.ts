// EXIF data with an orientation and nothing else, for tests.

/** @param value - four bytes in all: as one number, two or four */
export function exifOf(type: number, value: readonly number[], isLittle: boolean): Uint8Array {
  const bytes = new Uint8Array(6 + 26);
  bytes.set([0x45, 0x78, 0x69, 0x66]); // Exif
  bytes.fill(isLittle ? 0x49 : 0x4d, 6, 8);
  const view = new DataView(bytes.buffer, 6);
  view.setUint16(2, 42, isLittle);
  view.setUint32(4, 8, isLittle);
  view.setUint16(8, 1, isLittle);
  view.setUint16(10, 0x112, isLittle);
  view.setUint16(12, type, isLittle);
  view.setUint32(14, 1, isLittle);
  value.forEach((number, i) => {
    if (value.length === 1) view.setUint32(18, number, isLittle);
    else if (value.length === 2) view.setUint16(18 + 2 * i, number, isLittle);
    else view.setUint8(18 + i, number);
  });
  return bytes;
}
