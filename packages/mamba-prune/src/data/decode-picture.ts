/**
 * Bytes of a file to pixels, through sharp (libvips), as Pillow's open, exif_transpose and convert('RGB') give them: no
 * colour profile is applied, the picture is turned as its EXIF orientation says, alpha is dropped and not blended,
 * CMYK becomes RGB by Pillow's formula, 16 bits become 8 by their upper byte. In full size: libjpeg's shortcut to an
 * eighth, a quarter or a half gives other pixels.
 *
 * Two things are otherwise than in Pillow, where it loses the picture: grey of 16 bits keeps its upper byte (Pillow
 * clips at 255, which leaves white), and transparent pixels of a GIF are black (Pillow has the palette's colour there,
 * which is arbitrary and which neither libvips nor a browser tells).
 */
import { readFile } from 'node:fs/promises';
import sharp, { type Metadata, type Sharp } from 'sharp';
import { machineMemory } from '../memory-need.js';
import { exifOrientation } from '../preparation/exif.js';
import { type Picture, rgbOfCmyk } from '../preparation/prepare.js';
import type { Interpolation } from '../preparation/preprocessing.js';
import { Alone } from './alone.js';
import { decodeBmp, bmpHeader } from './bmp.js';
import { DataError, reasonOf } from './errors.js';
import { bytesOf, damageOf, hasJpegEnd, jpegParts, withJpegEnd } from './image-damage.js';
import { type ImageFormat, formatOf, unreadable } from './image-formats.js';
import { Limiter, WeightLimiter } from './limit.js';
import { decodeNetpbm, netpbmHeader } from './netpbm.js';
import { tiffColourProblem } from './tiff-colours.js';

export interface ImageHeader {
  /** Of the upright picture. */
  readonly width: number;
  readonly height: number;
  /**
   * Whether libvips reads the file as it is meant, with nothing to look at before: such a file is handed over by its
   * path in one call, which the decoding threads carry out while a training step keeps the main thread busy.
   */
  readonly isPlain?: boolean;
}

/** Of a picture: as much as libvips takes at most unless it is told otherwise, 268 megapixels. */
const mostPixels = 0x3fff ** 2;

let configured = false;
/** Many small images at a time: one thread each is faster than several threads per image. */
function configure(): void {
  if (configured) return;
  configured = true;
  sharp.concurrency(1);
  sharp.cache(false); // every file is read once per epoch: a cache would only grow
}

const gate = new Alone();

/**
 * Calls sharp. libvips collects the messages of all its threads in one place, so what an error says may be of
 * another file; a call that fails is made a second time, alone.
 * @throws DataError with the reason, which is the file's own
 */
async function withSharp<T>(task: () => Promise<T>): Promise<T> {
  configure();
  try {
    return await gate.together(task);
  } catch {
    try {
      return await gate.alone(task);
    } catch (error) {
      const lines = new Set(reasonOf(error).split('\n'));
      throw new DataError([...lines].join('; '));
    }
  }
}

interface Source {
  readonly bytes: Buffer;
  readonly format: ImageFormat;
  /** A JPEG of four channels, which come out with 255 for full ink. */
  readonly isCmyk: boolean;
  readonly failOn: 'error' | 'warning';
}

/** @throws DataError with the reason if it is of no format that is read */
function sourceOf(bytes: Buffer): Source {
  const format = formatOf(bytes);
  if (format === undefined) throw new DataError(unreadable(bytes));
  const problem = format === 'tiff' ? tiffColourProblem(bytes) : undefined;
  if (problem !== undefined) throw new DataError(problem);
  if (format !== 'jpeg') return { bytes, format, isCmyk: false, failOn: 'error' };
  const parts = jpegParts(bytes);
  const isCmyk = parts.components === 4;
  // Where only the end mark is missing, nothing of the picture is: Pillow and browsers take it as well. With
  // the mark put back, every warning is one of missing pixels.
  return hasJpegEnd(bytes, parts)
    ? { bytes, format, isCmyk, failOn: 'error' }
    : { bytes: withJpegEnd(bytes), format, isCmyk, failOn: 'warning' };
}

interface HowOpened {
  readonly failOn?: Source['failOn'];
  readonly autoOrient?: boolean;
}

/** Upright, and in the file's own colours. */
const open = (
  bytes: Buffer | string,
  { failOn = 'error', autoOrient = true }: HowOpened = {},
): Sharp => sharp(bytes, { failOn, ignoreIcc: true, autoOrient, limitInputPixels: mostPixels });

/** As `open`, of a file whose header is looked at before. */
async function openSource({ bytes, failOn }: Source): Promise<Sharp> {
  // What cannot be read here is told of where it is decoded.
  const metadata = await attempt(() => metadataOf(bytes));
  return open(bytes, {
    failOn,
    autoOrient: metadata === undefined || !isTurnedByMistake(metadata),
  });
}

/** @throws DataError with the reason */
async function pictureHeader(bytes: Buffer): Promise<ImageHeader> {
  const source = sourceOf(bytes);
  if (source.format === 'bmp') return bmpHeader(bytes);
  if (source.format === 'ppm') return netpbmHeader(bytes);
  return headerOf(await explained(source, () => metadataOf(bytes)));
}

/** As `pictureHeader`, of a file, of which only the beginning is read. @throws DataError with the reason */
export async function fileHeader(path: string): Promise<ImageHeader> {
  return headerOf(await withSharp(() => metadataOf(path)));
}

const metadataOf = (input: Buffer | string): Promise<Metadata> =>
  sharp(input, { failOn: 'error', limitInputPixels: false }).metadata();

/** libvips follows an orientation in a BYTE, which Pillow and browsers pass over. */
const isTurnedByMistake = ({ orientation = 1, exif }: Metadata): boolean =>
  orientation !== 1 && exif !== undefined && exifOrientation(exif) === undefined;

function headerOf(metadata: Metadata): ImageHeader {
  const isTurned = !isTurnedByMistake(metadata);
  const { width, height } = isTurned ? metadata.autoOrient : metadata;
  return { width, height, isPlain: isTurned && metadata.space !== 'cmyk' };
}

/** @throws DataError with a reason in our own words, where the file's structure tells one */
async function explained<T>(source: Source, task: () => Promise<T>): Promise<T> {
  try {
    return await withSharp(task);
  } catch (error) {
    const damage = await damageOf(bytesOf(source.bytes), source.format);
    if (source.failOn === 'warning') {
      throw new DataError('the file is cut off: premature end, without all of its pixels');
    }
    if (!damage) throw error;
    throw new DataError(damage.reason);
  }
}

/**
 * @throws DataError with the reason for a picture of more pixels than can be decoded on this machine: it and a
 *   turned copy, 4 bytes a pixel, in half of the memory
 */
export function checkPixels({ width, height }: ImageHeader): void {
  const pixels = width * height;
  const most = Math.min(mostPixels, Math.floor(machineMemory() / 16));
  if (pixels <= most) return;
  const megapixels = (count: number): string => Math.round(count / 1e6).toLocaleString('en');
  throw new DataError(
    `it has ${width}x${height} pixels, ${megapixels(pixels)} million, expected at most ${megapixels(most)} million`,
  );
}

/**
 * Whole pictures lie in memory until the main thread makes them small, which a training step may keep it from: as
 * many are decoded as fit into this, and one in any case.
 */
const memory = new WeightLimiter(Math.min(256 * 1024 ** 2, machineMemory() / 16));

/**
 * Decodes a picture and hands it over; its memory counts until `use` is done.
 * @param source - the file, or its path, which is read when there is room for the picture
 * @param header - saves reading it again
 * @throws DataError or the system's error with the reason, without the file's name
 */
export async function withPicture<T>(
  source: Buffer | string,
  use: (picture: Picture) => T | Promise<T>,
  header?: ImageHeader,
): Promise<T> {
  const known = header ? source : await loaded(source);
  const size = header ?? (await pictureHeader(await loaded(known)));
  checkPixels(size);
  return memory.run(4 * size.width * size.height, async () => {
    const plain =
      typeof source === 'string' && header?.isPlain === true
        ? await attempt(() => plainPixels(open(source)))
        : undefined;
    return use(plain ?? (await decodePicture(await loaded(known))));
  });
}

/** @returns undefined if it fails: then it is done step by step, which finds out why */
async function attempt<T>(task: () => Promise<T>): Promise<T | undefined> {
  configure();
  return gate.together(task).catch(() => undefined);
}

async function plainPixels(image: Sharp): Promise<Picture> {
  const { data, info } = await image
    .toColourspace('srgb')
    .removeAlpha()
    .raw({ depth: 'uchar' })
    .toBuffer({ resolveWithObject: true });
  const { width, height } = info;
  return { data, width, height, channels: info.channels >= 3 ? 3 : 1 };
}

/** Files open at a time; some systems allow a program 256. */
const reads = new Limiter(32);

/** A whole file. @throws the system's error */
const readImageFile = (path: string): Promise<Buffer> => reads.run(() => readFile(path));

const loaded = async (source: Buffer | string): Promise<Buffer> =>
  typeof source === 'string' ? readImageFile(source) : source;

/**
 * Decodes every pixel of a file.
 * @returns what the decoder complains of in a JPEG that it gives all pixels of: where bytes are missing or garbled within, the rest
 *   is grey or shifted. Other decoders give no pixels then
 * @throws DataError or the system's error with the reason, without the file's name
 */
export async function decodeClosely(path: string): Promise<string | undefined> {
  const bytes = await readImageFile(path);
  const complaint = formatOf(bytes) === 'jpeg' ? await jpegComplaint(bytes) : undefined;
  if (complaint !== undefined || formatOf(bytes) !== 'jpeg') {
    await withPicture(bytes, () => undefined);
  }
  return complaint === undefined || complaint.every(isHarmless) ? undefined : complaint.join('; ');
}

/** @returns the decoder's words; undefined where it has none */
async function jpegComplaint(bytes: Buffer): Promise<string[] | undefined> {
  const size = await pictureHeader(bytes);
  checkPixels(size);
  return memory.run(4 * size.width * size.height, async () => {
    try {
      await withSharp(() => open(bytes, { failOn: 'warning' }).raw().toBuffer());
      return undefined;
    } catch (error) {
      return reasonOf(error)
        .split('; ')
        .map((line) => line.replace(/^VipsJpeg: /, ''));
    }
  });
}

/** Bytes too many, as some cameras write them: no pixel is another one. */
const isHarmless = (line: string): boolean => /extraneous bytes before marker/.test(line);

/** @throws DataError with the reason */
async function decodePicture(bytes: Buffer): Promise<Picture> {
  const source = sourceOf(bytes);
  if (source.format === 'bmp') return decodeBmp(bytes);
  if (source.format === 'ppm') return decodeNetpbm(bytes);
  const isCmyk =
    source.isCmyk ||
    (source.format === 'tiff' && (await withSharp(() => metadataOf(bytes))).space === 'cmyk');
  const image = await openSource(source);
  if (!isCmyk) return explained(source, () => plainPixels(image.clone()));
  const { data, info } = await explained(source, () =>
    image
      .clone()
      .pipelineColourspace('cmyk')
      .toColourspace('cmyk')
      .removeAlpha()
      .raw({ depth: 'uchar' })
      .toBuffer({ resolveWithObject: true }),
  );
  return { data: rgbOfCmyk(data), width: info.width, height: info.height, channels: 3 };
}

interface Part {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

/**
 * Pixels of a part that sharp cuts out and resizes by itself while it decodes; see `decodeInto`.
 * @returns undefined for pictures that sharp does not read as they are meant
 * @throws DataError or the system's error with the reason, without the file's name
 */
export async function sharpBox(
  path: string,
  box: Part,
  size: number,
  kernel: 'linear' | 'cubic',
  header?: ImageHeader,
): Promise<Picture | undefined> {
  const part = (image: Sharp) =>
    plainPixels(image.extract(box).resize(size, size, { fit: 'fill', kernel }));
  const plain = header?.isPlain === true ? await attempt(() => part(open(path))) : undefined;
  if (plain) return plain;
  const source = sourceOf(await readImageFile(path));
  if (source.isCmyk || ['bmp', 'ppm', 'tiff'].includes(source.format)) return undefined;
  const image = await openSource(source);
  return explained(source, () => part(image.clone()));
}

/**
 * A file's picture in another size, as a JPEG; for `ResizedCache`. Large JPEG files are decoded at a half, a quarter or an
 * eighth where that is still at least twice as large as the result, so that the filter has two pixels for one: the rule of
 * Pillow's `thumbnail` (reducing_gap 2).
 * @throws DataError or the system's error with the reason, without the file's name
 */
export async function resizedJpeg(
  path: string,
  header: ImageHeader,
  { width, height }: Pick<ImageHeader, 'width' | 'height'>,
  interpolation: Interpolation,
): Promise<Buffer> {
  const kernel = interpolation === 'bicubic' ? 'cubic' : 'linear';
  const resized = (image: Sharp): Promise<Buffer> =>
    image
      .resize(width, height, { fit: 'fill', kernel, fastShrinkOnLoad: false })
      .removeAlpha()
      .toColourspace('srgb')
      .jpeg({ quality: 95, chromaSubsampling: '4:4:4' })
      .toBuffer();
  const plain = header.isPlain === true ? await attempt(() => resized(open(path))) : undefined;
  if (plain) return plain;
  const use = ({ data, ...raw }: Picture): Promise<Buffer> => {
    const pixels = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
    return withSharp(() => resized(sharp(pixels, { raw })));
  };
  return withPicture(path, use, header);
}
