import { prepare } from '../preparation/prepare.js';
import { type Preprocessing, defaultPreprocessing } from '../preparation/preprocessing.js';
import { DataError, errnoOf, reasonOf } from './errors.js';
import { formatNames } from './image-formats.js';
import { statRegular } from './read-whole.js';
import type { DatasetInfo } from './types.js';

/**
 * Reads one image file as a model trained on `info` expects it: shorter side resized, centre cut
 * out, grey if the model has one channel, normalised.
 * @param info - `preprocessing` is what the data set's new models record unless given
 * @returns float32 [channels, height, width]
 * @throws DataError naming the file
 */
export async function readImage(
  path: string,
  info: Pick<DatasetInfo, 'channels' | 'height' | 'width' | 'mean' | 'std' | 'preprocessing'> & {
    readonly name?: string;
  },
): Promise<Float32Array> {
  const { channels, height, width, mean, std, name } = info;
  if (height !== width) {
    throw new DataError(`readImage: got a model for ${width}x${height}, expected a square size.`);
  }
  const preprocessing = info.preprocessing ?? defaultPreprocessing(name);
  let pixels: Uint8Array;
  try {
    pixels = await readPixels(path, { channels, size: height }, preprocessing);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') {
      throw new DataError(`readImage: ${path} does not exist, expected a ${formatNames} file.`, {
        cause: error,
        file: path,
        isUsage: true,
      });
    }
    throw new DataError(
      `readImage: ${path} cannot be used (${reasonOf(error)}), expected a ${formatNames} file.`,
      { cause: error, file: path },
    );
  }
  const plane = height * width;
  return Float32Array.from(pixels, (value, i) => {
    const channel = Math.floor(i / plane);
    return (value / 255 - (mean[channel] as number)) / (std[channel] as number);
  });
}

/**
 * As `readImage`, before the normalisation.
 * @returns uint8 [channels, size, size]
 * @throws DataError or the system's error with the reason, without the file's name
 */
export async function readPixels(
  path: string,
  input: { readonly channels: number; readonly size: number },
  preprocessing: Preprocessing,
): Promise<Uint8Array> {
  // sharp is loaded when it is needed.
  const { withPicture } = await import('./decode-picture.js');
  statRegular(path);
  return withPicture(path, (picture) => prepare(picture, input, preprocessing));
}
