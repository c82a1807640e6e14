/** Image files to uint8 planar pixels of a model's size. */
import { open } from 'node:fs/promises';
import type { ImageSquare } from '@mamba-prune/libtorch/images';
import { frameOf } from '../preparation/geometry.js';
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
import { DataError, isReadingError, reasonOf } from './errors.js';
import { type ImageAddon, imageAddon } from './image-addon.js';
import { type ByteSource, damageOf } from './image-damage.js';
import type { CropResize } from './types.js';
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
  if (damage || !['jpeg', 'png'].includes(format)) {
    return withPicture(path, ({ width, height }) => ({ width, height }));
  }
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

/** Started by the first data set that is evaluated. */
const threads = new PrepareThreads();

/** What part of an image becomes the square. */
export type Framing =
  | { readonly kind: 'centre'; readonly preprocessing: Preprocessing }
  | {
      readonly kind: 'box';
      readonly box: Box;
      readonly interpolation: Preprocessing['interpolation'];
      readonly resize: CropResize;
    };

/**
 * Decodes one image into `out` [channels, size, size].
 *
 * Both the centre and a box are prepared in the one way that all programs share, as Pillow does it. JPEG files that need no
 * closer look are read, decoded and resized by a thread of the addon in one go; of all others the pixels come from
 * sharp or our own decoders, and are resized there. The bytes are the same, with the addon and without it.
 *
 * A box with `resize: 'libvips'` is cut out and resized by sharp while it decodes, with the same filters but other
 * roundings.
 *
 * @param header - as checked: it saves reading it again
 * @param addon - what decodes and resizes. By default the addon, where it is there
 * @throws DataError naming the file
 */
export async function decodeInto(
  out: Uint8Array,
  path: string,
  header: ImageHeader | undefined,
  input: { readonly channels: number; readonly size: number },
  framing: Framing,
  addon: ImageAddon | null = imageAddon(),
): Promise<void> {
  try {
    if (framing.kind === 'box' && framing.resize === 'libvips') {
      await boxByLibvips(out, path, header, input, framing);
      return;
    }
    if (addon?.jpegs === true && header?.isPlain === true && jpegEnding.test(path)) {
      if (await addon.jpegSquare(path, squareOf(header, input, framing), out)) return;
    }
    const use = async (picture: Picture): Promise<void> => {
      if (framing.kind === 'box' && header) checkUnchanged(picture, header);
      // A colour picture for a model of one channel is made grey before it is resized.
      if (addon && (picture.channels < 3 || input.channels >= 3)) {
        const { data, channels } = picture;
        await addon.pixelsSquare(data, channels, squareOf(picture, input, framing), out);
      } else if (framing.kind === 'box') {
        prepareBox(picture, framing.box, input, framing.interpolation, out);
      } else out.set(await threads.prepare(picture, input, framing.preprocessing));
    };
    await withPicture(path, use, header);
  } catch (error) {
    throw undecodable(path, error);
  }
}

/** A box was drawn for the size that the file had. */
function checkUnchanged(now: Picture, before: ImageHeader): void {
  if (now.width === before.width && now.height === before.height) return;
  throw new DataError(
    `the file has changed: it has ${now.width}x${now.height} pixels, and had ${before.width}x${before.height} when it was checked`,
  );
}

export const undecodable = (path: string, error: unknown): DataError =>
  new DataError(
    isReadingError(error)
      ? `${path}: cannot be read (${reasonOf(error)}). Look whether its disk is still there, and whether you may read it.`
      : `${path}: cannot be decoded (${reasonOf(error)}). Replace or delete it.`,
    { cause: error, file: path },
  );

/** Of files that a thread of the addon may decode. */
export const jpegEnding = /\.(?:jpg|jpeg|jpe|jfif)$/i;

/** The part of a picture that becomes the square, and the size in between. */
function squareOf(
  { width, height }: { readonly width: number; readonly height: number },
  { channels, size }: { readonly channels: number; readonly size: number },
  framing: Framing,
): ImageSquare {
  const common = { width, height, size, channels };
  if (framing.kind === 'box') {
    const { box, interpolation } = framing;
    const frame = { width: size, height: size, left: 0, top: 0 };
    return { ...common, part: box, frame, interpolation };
  }
  const { interpolation, cropShare } = framing.preprocessing;
  const part = { left: 0, top: 0, width, height };
  return { ...common, part, frame: frameOf(width, height, size, cropShare), interpolation };
}

async function boxByLibvips(
  out: Uint8Array,
  path: string,
  header: ImageHeader | undefined,
  { channels, size }: { readonly channels: number; readonly size: number },
  { box, interpolation }: Extract<Framing, { kind: 'box' }>,
): Promise<void> {
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
}
