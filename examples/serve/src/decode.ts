// Uploaded bytes to what the model takes, through sharp (libvips). What is wrong with them is found before memory
// is spent on it: the header says the size, and only three loaders of libvips can be reached at all.
import { availableParallelism } from 'node:os';
import { type Picture, type Preprocessing, rgbOfCmyk } from 'mamba-prune/preparation';
import { PrepareThreads } from 'mamba-prune/preparation/threads';
import pLimit from 'p-limit';
import sharp, { type Metadata, type Sharp } from 'sharp';
import { type ImageType, checkEnd, imageTypes, sniff } from './container.js';
import { badImage } from './errors.js';

export interface ImageLimits {
  /** Of the image as it is sent. */
  readonly maxPixels: number;
  readonly maxSide: number;
  readonly timeoutMs: number;
}

/** [channels, height, width]; 1 or 3 channels. */
export type ImageShape = readonly [number, number, number];

/** What the model takes. */
export interface ImageTarget {
  readonly shape: ImageShape;
  readonly preprocessing: Preprocessing;
}

/** Longer side over shorter side: of a strip next to nothing would be in the square that is cut out. */
const maxAspect = 32;

sharp.cache(false);
// Requests run side by side; more threads for each would only get in each other's way.
sharp.concurrency(1);
sharp.block({ operation: ['VipsForeignLoad'] });
sharp.unblock({
  operation: ['VipsForeignLoadJpegBuffer', 'VipsForeignLoadPngBuffer', 'VipsForeignLoadWebpBuffer'],
});

/** The main thread answers requests meanwhile. */
const threads = new PrepareThreads();

/** Pictures decoded at a time, which bounds memory. */
const limit = pLimit(availableParallelism());

/**
 * Decodes an upload, turns it upright, and prepares it as the model's file says: by the code that trained and evaluated it.
 *
 * @param declared - the content type that it was sent with; application/octet-stream says nothing
 * @returns planar bytes of the target's shape
 * @throws HttpError 415 or 422 saying what is wrong; the signal's reason
 */
export async function decodeImage(
  bytes: Buffer,
  declared: string,
  { shape, preprocessing }: ImageTarget,
  limits: ImageLimits,
  signal?: AbortSignal,
): Promise<Uint8Array> {
  if (bytes.length === 0) throw badImage('empty', 'The image has no bytes.');
  checkEnd(bytes, typeOf(bytes, declared));
  return limit(async () => {
    // The client may have gone while others were decoded.
    signal?.throwIfAborted();
    const header = await headerOf(bytes);
    checkHeader(header, limits);
    const picture = await pictureOf(bytes, header.space === 'cmyk', limits);
    const [channels, size] = shape;
    return threads.prepare(picture, { channels, size }, preprocessing);
  });
}

function typeOf(bytes: Buffer, declared: string): ImageType {
  const found = sniff(bytes);
  if (found === undefined) {
    throw badImage('unsupported_type', `The bytes are none of ${imageTypes.join(', ')}.`);
  }
  if (declared !== 'application/octet-stream' && declared !== found) {
    throw badImage('unsupported_type', `Sent as ${declared}, but the bytes are ${found}.`);
  }
  return found;
}

const open = (bytes: Buffer, limitInputPixels: number | false): Sharp =>
  sharp(bytes, { failOn: 'error', autoOrient: true, ignoreIcc: true, limitInputPixels });

async function headerOf(bytes: Buffer): Promise<Metadata> {
  try {
    // Read without the limit, so that the answer can say how large it is.
    return await open(bytes, false).metadata();
  } catch (error) {
    throw damaged(error);
  }
}

function checkHeader({ width, height, pages = 1 }: Metadata, limits: ImageLimits): void {
  const { maxPixels, maxSide } = limits;
  const size = `The image has ${width}x${height} pixels`;
  if (width * height > maxPixels || Math.max(width, height) > maxSide) {
    const most = `at most ${maxPixels} pixels and ${maxSide} on a side`;
    throw badImage('too_many_pixels', `${size}, expected ${most}.`);
  }
  if (Math.max(width, height) > maxAspect * Math.min(width, height)) {
    throw badImage('too_narrow', `${size}, expected sides of at most 1:${maxAspect}.`);
  }
  if (pages > 1) {
    throw badImage('animated', `The image has ${pages} frames, expected a still picture.`);
  }
}

/** In full size and in the file's own colours, as Pillow decodes it: the model was measured on such pixels. */
async function pictureOf(bytes: Buffer, isCmyk: boolean, limits: ImageLimits): Promise<Picture> {
  try {
    const image = open(bytes, limits.maxPixels).timeout({
      seconds: Math.max(1, Math.ceil(limits.timeoutMs / 1000)),
    });
    const { data, info } = await (
      isCmyk ? image.pipelineColourspace('cmyk').toColourspace('cmyk') : image.toColourspace('srgb')
    )
      .removeAlpha()
      .raw({ depth: 'uchar' })
      .toBuffer({ resolveWithObject: true });
    const { width, height } = info;
    if (isCmyk) return { data: rgbOfCmyk(data), width, height, channels: 3 };
    return { data, width, height, channels: info.channels >= 3 ? 3 : 1 };
  } catch (error) {
    throw damaged(error);
  }
}

/** libvips says in its first line what is wrong. */
function damaged(error: unknown): Error {
  const [reason = ''] = (error as Error).message.split('\n');
  return badImage('damaged', `The image cannot be decoded: ${reason}.`);
}
