// EXIF orientation of WebP files, which browsers leave out while they follow that of JPEG and PNG.
import { exifOrientation, type Picture } from 'mamba-prune/preparation';

/** @returns 1 to 8, as EXIF has it; undefined unless it is a WebP file that says so */
export function webpOrientation(bytes: Uint8Array): number | undefined {
  const text = (at: number): string => String.fromCharCode(...bytes.subarray(at, at + 4));
  if (text(0) !== 'RIFF' || text(8) !== 'WEBP') return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 12; at + 8 <= bytes.length;) {
    const length = view.getUint32(at + 4, true);
    if (text(at) === 'EXIF') return exifOrientation(bytes.subarray(at + 8, at + 8 + length));
    at += 8 + length + (length % 2);
  }
  return undefined;
}

/** Turns a picture as an orientation says. @param picture - of 3 channels */
export function upright(picture: Picture, orientation: number): Picture {
  if (orientation === 1) return picture;
  const { data, width, height, channels } = picture;
  // From 5 on rows become columns.
  const isTurned = orientation > 4;
  const [across, down] = isTurned ? [height, width] : [width, height];
  const fromRight = [2, 3, 7, 8].includes(orientation);
  const fromBelow = [3, 4, 6, 7].includes(orientation);
  const out = new Uint8Array(data.length);
  let to = 0;
  for (let row = 0; row < down; row++) {
    for (let column = 0; column < across; column++) {
      const [x, y] = isTurned ? [row, column] : [column, row];
      const from =
        ((fromBelow ? height - 1 - y : y) * width + (fromRight ? width - 1 - x : x)) * channels;
      for (let i = 0; i < channels; i++) out[to++] = data[from + i] ?? 0;
    }
  }
  return { data: out, width: across, height: down, channels };
}
