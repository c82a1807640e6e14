/** Image files to uint8 planar pixels of a model's size. */
import { open } from 'node:fs/promises';
import { type Picture, prepare, prepareBox } from '../preparation/prepare.js';
import type { Preprocessing } from '../preparation/preprocessing.js';
import { PrepareThreads } from '../preparation/threads.js';
import type { Box } from './crop-box.js';
import {
  type ImageHeader,
  checkPixels,
  fileHeader,
  sharpBox,
  withPicture,
} from './decode-picture.js';
import { DataError, reasonOf } from './errors.js';
import { type ByteSource, damageOf } from './image-damage.js';
import { imageFormats, formatOf, headBytes, unreadable } from './image-formats.js';

export type { ImageHeader } from './decode-picture.js';

/** File name endings that count as images. */
export const imageEnding = new RegExp(
  `\\.(?:${imageFormats.flatMap(({ endings }) => endings).join('|')})$`,
  'i',
);

/**
 * Looks for damage: at the end of the file and, of a PNG, at every checksum. Decodes fully only if something looks
 * wrong, and the formats that have neither an end mark nor checksums: what is garbled in them shows nowhere else.
 * @throws DataError with the reason, without the file name
 */
export async function checkImage(path: string, bytes: number): Promise<ImageHeader> {
  if (bytes === 0) throw new DataError('the file is empty');
  const file = await open(path, 'r');
  let damage;
  let format;
  try {
    const source = fileSource(file, bytes);
    const head = await source.read(0, headBytes);
    format = formatOf(head);
    if (format === undefined) throw new DataError(unreadable(head));
    damage = await damageOf(source, format);
  } finally {
    await file.close();
  }
  if (damage?.isCertain) throw new DataError(damage.reason);
  if (damage || !['jpeg', 'png'].includes(format)) return decodeFully(path);
  const header = await fileHeader(path);
  checkPixels(header);
  return header;
}

function fileSource(file: Awaited<ReturnType<typeof open>>, length: number): ByteSource {
  return {
    length,
    read: async (at, count) => {
      const buffer = Buffer.alloc(Math.max(0, Math.min(count, length - at)));
      const { bytesRead } = await file.read(buffer, 0, buffer.length, at);
      return buffer.subarray(0, bytesRead);
    },
  };
}

/** Decodes every pixel. @throws DataError with the reason, without the file name */
export async function decodeFully(path: string): Promise<ImageHeader> {
  return withPicture(path, ({ width, height }) => ({ width, height }));
}

/** Started by the first data set that is evaluated. */
const threads = new PrepareThreads();

/** What part of an image becomes the square. */
export type Framing =
  | { readonly kind: 'centre'; readonly preprocessing: Preprocessing }
  | {
      readonly kind: 'box';
      readonly box: Box;
      readonly interpolation: Preprocessing['interpolation'];
    };

/**
 * Decodes one image into `out` [channels, size, size].
 *
 * The centre is prepared in the one way that all programs share. A box of a training's random crop is resized by
 * sharp itself, whose kernels are those of Pillow but for rounding: on the decoding threads, and on rows as
 * they are decoded, which is faster; what a training sees at random need not be the same elsewhere.
 *
 * @param header - as checked: it saves reading it again
 * @throws DataError naming the file
 */
export async function decodeInto(
  out: Uint8Array,
  path: string,
  header: ImageHeader | undefined,
  { channels, size }: { readonly channels: number; readonly size: number },
  framing: Framing,
): Promise<void> {
  try {
    if (framing.kind === 'centre') {
      const input = { channels, size };
      const use = (picture: Picture) => threads.prepare(picture, input, framing.preprocessing);
      out.set(await withPicture(path, use, header));
      return;
    }
    const { box, interpolation } = framing;
    const kernel = interpolation === 'bicubic' ? 'cubic' : 'linear';
    const part = await sharpBox(path, box, size, kernel, header);
    if (part) prepare(part, { channels, size }, { interpolation, cropShare: 1 }, out);
    else {
      await withPicture(
        path,
        (picture) => prepareBox(picture, box, { channels, size }, interpolation, out),
        header,
      );
    }
  } catch (error) {
    throw new DataError(`${path}: cannot be decoded (${reasonOf(error)}). Replace or delete it.`, {
      cause: error,
      file: path,
    });
  }
}
