import { DataError, errnoOf, reasonOf } from './errors.js';
import { statRegular } from './read-whole.js';
import type { DatasetInfo } from './types.js';

/**
 * Reads one image file as a model trained on `info` expects it: shorter side resized, centre cut
 * out, grey if the model has one channel, normalised.
 * @param options.resizeTo - length of the shorter side before the crop; default the model's size
 * @returns float32 [channels, height, width]
 * @throws DataError naming the file
 */
export async function readImage(
  path: string,
  info: Pick<DatasetInfo, 'channels' | 'height' | 'width' | 'mean' | 'std'>,
  options: { resizeTo?: number } = {},
): Promise<Float32Array> {
  const { channels, height, width, mean, std } = info;
  if (height !== width) {
    throw new DataError(`readImage: got a model for ${width}x${height}, expected a square size.`);
  }
  const { checkImage, decodeInto } = await import('./image-decode.js');
  let header;
  try {
    header = await checkImage(path, statRegular(path).size);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') {
      throw new DataError(
        `readImage: ${path} does not exist, expected a JPEG, PNG or WebP file.`,
        { cause: error, file: path, isUsage: true },
      );
    }
    throw new DataError(
      `readImage: ${path} cannot be used (${reasonOf(error)}), expected a JPEG, PNG or WebP file.`,
      { cause: error, file: path },
    );
  }
  const plane = height * width;
  const rgb = new Uint8Array(3 * plane);
  const resizeTo = Math.max(height, options.resizeTo ?? height);
  await decodeInto(rgb, path, header, height, { kind: 'centre', resizeTo });
  const out = new Float32Array(channels * plane);
  for (let i = 0; i < out.length; i++) {
    const channel = Math.floor(i / plane);
    let value = rgb[i] as number;
    if (channels === 1) {
      const [red, green, blue] = [rgb[i], rgb[i + plane], rgb[i + 2 * plane]] as number[];
      value = 0.299 * (red as number) + 0.587 * (green as number) + 0.114 * (blue as number);
    }
    out[i] = (value / 255 - (mean[channel] as number)) / (std[channel] as number);
  }
  return out;
}
