// From a picture to what a model takes.
import type { TryOutModel } from '../../src/data/types.js';
import type { ImageInput } from './protocol.js';

/**
 * The shorter side resized, the centre cut out, grey if the model has one channel: as
 * `mamba-prune predict` does it, but for the browser's own way to resize.
 */
export async function imageInput(
  source: Blob,
  { channels, side }: Pick<TryOutModel, 'channels' | 'side'>,
): Promise<ImageInput> {
  const bitmap = await createImageBitmap(source);
  const scale = side / Math.min(bitmap.width, bitmap.height);
  const [width, height] = [bitmap.width * scale, bitmap.height * scale];
  const canvas = new OffscreenCanvas(side, side);
  const context = canvas.getContext('2d', { willReadFrequently: true });
  if (!context) throw new Error('try-out: this browser has no canvas');
  context.imageSmoothingQuality = 'high';
  context.drawImage(bitmap, (side - width) / 2, (side - height) / 2, width, height);
  bitmap.close();
  const { data } = context.getImageData(0, 0, side, side);
  return { pixels: planes(data, channels), shape: [1, channels, side, side] };
}

/** From [pixels, RGBA] to [channels, pixels]; grey is the luma of ITU-R BT.601. */
export function planes(rgba: ArrayLike<number>, channels: number): Uint8Array {
  const count = rgba.length / 4;
  const at = (pixel: number, channel: number): number => rgba[4 * pixel + channel] ?? 0;
  return Uint8Array.from({ length: channels * count }, (_, i) => {
    const pixel = i % count;
    if (channels > 1) return at(pixel, Math.floor(i / count));
    return Math.round(0.299 * at(pixel, 0) + 0.587 * at(pixel, 1) + 0.114 * at(pixel, 2));
  });
}
