/** Image files to uint8 planar RGB through sharp (libvips), which decodes on threads of its own. */
import { open } from 'node:fs/promises';
import sharp, { type Metadata } from 'sharp';
import type { Box } from './crop-box.js';
import { DataError, reasonOf } from './errors.js';

/** File name endings that count as images. */
export const IMAGE_ENDING = /\.(?:jpe?g|png|webp)$/i;
const FORMATS = new Set(['jpeg', 'png', 'webp']);
/** Lossless nonsense (odd metadata) passes, missing or invalid pixels do not. */
const FAIL_ON = 'error';
const TAIL_BYTES = 4096;

let configured = false;
/** Many small images at a time: one thread each is faster than several threads per image. */
function configure(): void {
  if (configured) return;
  configured = true;
  sharp.concurrency(1);
  sharp.cache(false); // every file is read once per epoch: a cache would only grow
}

export interface ImageHeader {
  width: number;
  height: number;
}

/**
 * Reads the header and looks at the end of the file; decodes fully only if the end looks wrong, as
 * cut-off files do.
 * @throws DataError with the reason, without the file name
 */
export async function checkImage(path: string, bytes: number): Promise<ImageHeader> {
  configure();
  if (bytes === 0) throw new DataError('the file is empty');
  const header = await readHeader(path);
  if (!(await endsWell(path, bytes))) await decodeFully(path);
  return header;
}

/** Decodes every pixel. @throws DataError with the reason, without the file name */
export async function decodeFully(path: string): Promise<void> {
  configure();
  try {
    await sharp(path, { failOn: FAIL_ON }).raw().toBuffer();
  } catch (error) {
    throw new DataError(reasonOf(error), { cause: error });
  }
}

async function readHeader(path: string): Promise<ImageHeader> {
  let meta: Metadata;
  try {
    meta = await sharp(path, { failOn: FAIL_ON }).metadata();
  } catch (error) {
    throw new DataError(reasonOf(error), { cause: error });
  }
  if (!FORMATS.has(meta.format)) {
    throw new DataError(`got a ${meta.format} image, expected JPEG, PNG or WebP`);
  }
  return { width: meta.width, height: meta.height };
}

/** Whether the end mark of the format is where it should be (some tools append a few bytes). */
async function endsWell(path: string, bytes: number): Promise<boolean> {
  const file = await open(path, 'r');
  try {
    const tail = Buffer.alloc(Math.min(TAIL_BYTES, bytes));
    await file.read(tail, 0, tail.length, bytes - tail.length);
    const head = Buffer.alloc(12);
    await file.read(head, 0, head.length, 0);
    if (head[0] === 0xff && head[1] === 0xd8) return tail.includes(Buffer.from([0xff, 0xd9]));
    if (head[0] === 0x89) return tail.includes('IEND', 0, 'latin1');
    return head.readUInt32LE(4) + 8 <= bytes; // RIFF: the length is in the header
  } finally {
    await file.close();
  }
}

/** What part of an image becomes the square. */
export type Framing =
  | { kind: 'centre'; /** Length of the shorter side before the crop. */ resizeTo: number }
  | { kind: 'box'; box: Box };

/**
 * Decodes one image into `out` [3, size, size].
 * @param header - as checked: it saves reading it again
 * @throws DataError naming the file
 */
export async function decodeInto(
  out: Uint8Array,
  path: string,
  header: ImageHeader,
  size: number,
  framing: Framing,
): Promise<void> {
  configure();
  let data: Buffer;
  let channels: number;
  try {
    let image = sharp(path, { failOn: FAIL_ON });
    if (framing.kind === 'box') {
      image = image.extract(framing.box).resize(size, size, { fit: 'fill', kernel: 'linear' });
    } else {
      const { resizeTo } = framing;
      const scale = resizeTo / Math.min(header.width, header.height);
      const width = Math.max(size, Math.round(header.width * scale));
      const height = Math.max(size, Math.round(header.height * scale));
      if (width !== header.width || height !== header.height) {
        image = image.resize(width, height, { fit: 'fill', kernel: 'linear' });
      }
      const left = Math.round((width - size) / 2);
      const top = Math.round((height - size) / 2);
      image = image.extract({ left, top, width: size, height: size });
    }
    const result = await image
      .toColourspace('srgb')
      .removeAlpha()
      .raw({ depth: 'uchar' })
      .toBuffer({ resolveWithObject: true });
    data = result.data;
    channels = result.info.channels;
  } catch (error) {
    throw new DataError(`${path}: cannot be decoded (${reasonOf(error)}). Replace or delete it.`, {
      cause: error,
      file: path,
    });
  }
  const plane = size * size;
  if (data.length !== plane * channels) {
    throw new DataError(
      `${path}: got ${data.length} bytes of pixels, expected ${size}x${size}. Replace or delete it.`,
      { file: path },
    );
  }
  // A grey image comes with one channel: it becomes all three.
  const green = channels >= 3 ? 1 : 0;
  const blue = channels >= 3 ? 2 : 0;
  for (let i = 0, at = 0; i < plane; i++, at += channels) {
    out[i] = data[at] as number;
    out[plane + i] = data[at + green] as number;
    out[2 * plane + i] = data[at + blue] as number;
  }
}
