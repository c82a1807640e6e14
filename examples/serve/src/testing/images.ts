// For tests: images, and files that only look like one.
import { createHash } from 'node:crypto';
import { crc32, deflateSync } from 'node:zlib';
import sharp from 'sharp';

/** A picture of one colour with some noise, so that it compresses like a photograph. */
export function picture(
  format: 'jpeg' | 'png' | 'webp',
  { width = 64, height = 48, level = 128 } = {},
): Promise<Buffer> {
  const pixels = noise(width * height * 3).map((byte) => level + (byte % 17) - 8);
  const raw = { width, height, channels: 3 } as const;
  return sharp(pixels, { raw }).toFormat(format).toBuffer();
}

/** Bytes that do not compress, the same ones each time. */
export function noise(length: number): Buffer {
  const blocks = Array.from({ length: Math.ceil(length / 32) }, (_, i) =>
    createHash('sha256').update(String(i)).digest(),
  );
  return Buffer.concat(blocks).subarray(0, length);
}

/** A PNG whose header says one size and whose data may say another. */
export function forgedPng(
  width: number,
  height: number,
  { data = Buffer.alloc(0), extra = [] as readonly Buffer[] } = {},
): Buffer {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 0, 0, 0, 0], 8); // 8 bits, grey
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  const idat = pngChunk('IDAT', deflateSync(data));
  return Buffer.concat([
    signature,
    pngChunk('IHDR', header),
    ...extra,
    idat,
    pngChunk('IEND', Buffer.alloc(0)),
  ]);
}

export function pngChunk(name: string, content: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(name, 'latin1'), content]);
  const [length, sum] = [Buffer.alloc(4), Buffer.alloc(4)];
  length.writeUInt32BE(content.length);
  sum.writeUInt32BE(crc32(body));
  return Buffer.concat([length, body, sum]);
}

/** The same JPEG with another size in its header. */
export function resizedHeader(jpeg: Buffer, width: number, height: number): Buffer {
  const forged = Buffer.from(jpeg);
  const at = forged.indexOf(Buffer.from([0xff, 0xc0]));
  forged.writeUInt16BE(height, at + 5);
  forged.writeUInt16BE(width, at + 7);
  return forged;
}
