// From a decoded picture to the pixels that a model takes. No dependencies: the same code runs in Node.js, in
// a server that has nothing else of this project, and in a web page.
import { type Frame, frameOf } from './geometry.js';
import type { Interpolation, Preprocessing } from './preprocessing.js';
import { resampleInto } from './resample.js';

/** A decoded picture, upright: rows of pixels. */
export interface Picture {
  readonly data: Uint8Array | Uint8ClampedArray;
  readonly width: number;
  readonly height: number;
  /** Bytes of a pixel: grey, grey and alpha, RGB, RGB and alpha. Alpha is dropped, as Pillow's convert does. */
  readonly channels: 1 | 2 | 3 | 4;
}

/** What a model takes: squares of 1 or 3 channels. */
export interface ModelInput {
  readonly channels: number;
  /** Pixels. */
  readonly size: number;
}

/**
 * Resizes the shorter side of a picture, cuts the centre out, and makes it grey before that if the model has one
 * channel: what Pillow's convert, torchvision's Resize (with antialiasing, as on PIL images) and CenterCrop give.
 * @param out - takes the result if given
 * @returns uint8 [channels, size, size]
 */
export function prepare(
  picture: Picture,
  input: ModelInput,
  { interpolation, cropShare }: Preprocessing,
  out?: Uint8Array,
): Uint8Array {
  const frame = frameOf(picture.width, picture.height, input.size, cropShare);
  return resized(picture, input, frame, interpolation, out);
}

function resized(
  picture: Picture,
  { channels, size }: ModelInput,
  frame: Frame,
  interpolation: Interpolation,
  out: Uint8Array = new Uint8Array(channels * size * size),
): Uint8Array {
  const { data, width, height, channels: step } = picture;
  if (step >= 3) {
    const pixels =
      channels === 1
        ? { data: luma(picture), width, height, step: 1 }
        : { data, width, height, step };
    resampleInto(out, pixels, channels === 1 ? 1 : 3, frame, size, interpolation);
    return out;
  }
  // A grey picture is all channels.
  const plane = size * size;
  const pixels = { data, width, height, step };
  resampleInto(out.subarray(0, plane), pixels, 1, frame, size, interpolation);
  for (let channel = 1; channel < channels; channel++) out.copyWithin(channel * plane, 0, plane);
  return out;
}

/**
 * A part of a picture resized to the model's square, whatever its shape: Pillow's crop and resize, as in
 * torchvision's RandomResizedCrop.
 */
export function prepareBox(
  { data, width, channels: step }: Picture,
  box: {
    readonly left: number;
    readonly top: number;
    readonly width: number;
    readonly height: number;
  },
  input: ModelInput,
  interpolation: Interpolation,
  out?: Uint8Array,
): Uint8Array {
  const line = box.width * step;
  const part = new Uint8Array(line * box.height);
  for (let y = 0; y < box.height; y++) {
    const from = ((box.top + y) * width + box.left) * step;
    part.set(data.subarray(from, from + line), y * line);
  }
  const picture = { data: part, width: box.width, height: box.height, channels: step };
  const { size } = input;
  return resized(
    picture,
    input,
    { width: size, height: size, left: 0, top: 0 },
    interpolation,
    out,
  );
}

/** ITU-R BT.601 in Pillow's integers (convert('L')). @returns [pixels] */
function luma({ data, width, height, channels: step }: Picture): Uint8Array {
  const out = new Uint8Array(width * height);
  for (let i = 0, at = 0; i < out.length; i++, at += step) {
    const [red, green, blue] = [data[at], data[at + 1], data[at + 2]] as [number, number, number];
    out[i] = (19595 * red + 38470 * green + 7471 * blue + 0x8000) >> 16;
  }
  return out;
}

/**
 * CMYK to RGB as Pillow's convert does it: without a profile, (255 - C) (255 - K) / 255 rounded, and so on.
 * @param data - 4 bytes for each pixel, 255 for full ink
 * @returns 3 bytes for each pixel
 */
export function rgbOfCmyk(data: Uint8Array): Uint8Array {
  const out = new Uint8Array((data.length / 4) * 3);
  for (let from = 0, to = 0; from < data.length; from += 4) {
    const light = 255 - (data[from + 3] as number);
    for (let channel = 0; channel < 3; channel++) {
      const product = (data[from + channel] as number) * light + 128;
      out[to++] = Math.max(0, light - (((product >> 8) + product) >> 8));
    }
  }
  return out;
}
