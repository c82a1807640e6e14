// From a picture to what a model takes: decoded by the browser, prepared by the code that evaluated the model.
import { prepare } from 'mamba-prune/preparation';
import type { TryOutModel } from '../../src/page-data/try-out.js';
import { decode } from './decode.js';
import type { ImageInput } from './protocol.js';

/** @throws an Error if the browser cannot read the picture */
export async function imageInput(
  source: Blob,
  { channels, side, preprocessing }: Pick<TryOutModel, 'channels' | 'side' | 'preprocessing'>,
): Promise<ImageInput> {
  const pixels = prepare(await decode(source), { channels, size: side }, preprocessing);
  return { pixels, shape: [1, channels, side, side] };
}
